-- Read models of what a company asks, of its campaigns and working periods, and of the stages that its leads went through.

-- Those that are asked now; an archived question is a matter of the history.
CREATE TABLE questions (
    id            bigint PRIMARY KEY,
    company_id    bigint  NOT NULL,
    campaign_id   bigint,
    text          text    NOT NULL,
    question_type text    NOT NULL,
    required      boolean NOT NULL,
    priority      bigint  NOT NULL,
    options       jsonb   NOT NULL,
    position      bigint  NOT NULL,
    created_at    timestamptz NOT NULL
);
COMMENT ON COLUMN questions.priority IS '1..n within the company, without gaps.';
COMMENT ON COLUMN questions.options IS 'In their order: [{"option_id": …, "value": …}].';
CREATE INDEX questions_company ON questions (company_id, priority, id);

CREATE TABLE campaign_question_options (
    campaign_id bigint NOT NULL,
    question_id bigint NOT NULL,
    options     jsonb  NOT NULL,
    position    bigint NOT NULL,
    PRIMARY KEY (campaign_id, question_id)
);
COMMENT ON TABLE campaign_question_options IS 'What a campaign shows of a question, in its order and wording; no row where it shows all options as they are.';
CREATE INDEX campaign_question_options_question ON campaign_question_options (question_id);

CREATE TABLE campaigns (
    id         bigint PRIMARY KEY,
    company_id bigint NOT NULL,
    name       text   NOT NULL,
    status     text   NOT NULL,
    source_id  bigint,
    start_date date,
    end_date   date,
    search     text   NOT NULL,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX campaigns_company ON campaigns (company_id, id);

CREATE TABLE cycles (
    id         bigint PRIMARY KEY,
    company_id bigint NOT NULL,
    name       text   NOT NULL,
    start_date date   NOT NULL,
    end_date   date   NOT NULL,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX cycles_company ON cycles (company_id, start_date);

CREATE TABLE lead_stages (
    lead_id    bigint NOT NULL,
    position   bigint NOT NULL,
    stage_id   bigint NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at    timestamptz NOT NULL,
    PRIMARY KEY (lead_id, position)
);
COMMENT ON TABLE lead_stages IS 'The stages that leads have left; the one that a lead is in, and since when, is in its own row.';
COMMENT ON COLUMN lead_stages.position IS 'Ledger position of the event by which the lead left.';

ALTER TABLE leads ADD COLUMN stage_entered_at timestamptz;
UPDATE leads l SET stage_entered_at = coalesce(
    (SELECT max(e.recorded_at) FROM events e
     WHERE e.aggregate_type = 'lead' AND e.aggregate_id = l.id::text AND e.position IS NOT NULL
       AND e.event_type IN ('LeadCreated', 'LeadStageChanged')),
    l.created_at);
ALTER TABLE leads ALTER COLUMN stage_entered_at SET NOT NULL;
INSERT INTO lead_stages (lead_id, position, stage_id, entered_at, left_at)
SELECT id, position, stage_id, entered_at, left_at
FROM (SELECT l.id, e.position, (e.payload -> 'LeadStageChanged' ->> 'from_stage_id')::bigint AS stage_id,
             lag(e.recorded_at) OVER (PARTITION BY e.aggregate_id ORDER BY e.sequence) AS entered_at,
             e.recorded_at AS left_at, e.event_type
      FROM leads l JOIN events e ON e.aggregate_type = 'lead' AND e.aggregate_id = l.id::text
      WHERE e.position IS NOT NULL AND e.event_type IN ('LeadCreated', 'LeadStageChanged')) AS moves
WHERE event_type = 'LeadStageChanged' AND entered_at IS NOT NULL;
