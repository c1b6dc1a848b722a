-- The text of an Idempotency-Key is the client's and may name a person: only its SHA-256 is kept, by which a repeat is known.
UPDATE idempotency_keys SET key = encode(sha256(convert_to(key, 'UTF8')), 'hex');
COMMENT ON COLUMN idempotency_keys.key IS 'SHA-256 of the header''s text, in hexadecimal.';
