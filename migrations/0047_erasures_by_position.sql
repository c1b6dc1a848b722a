-- Whoever remembers something of the past asks whether a lead was hidden or shown again since.
CREATE INDEX lead_erasures_position ON lead_erasures (position);
