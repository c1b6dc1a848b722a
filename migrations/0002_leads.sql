-- Read models of leads. `search` holds name, e-mail and phone without case and accents.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE leads (
    id             bigint PRIMARY KEY,
    company_id     bigint NOT NULL,
    first_name     text,
    last_name      text,
    full_name      text   NOT NULL,
    email          text,
    phone          text,
    search         text   NOT NULL,
    stage_id       bigint NOT NULL,
    source_id      bigint,
    campaign_id    bigint,
    cycle_id       bigint,
    territory_id   bigint,
    user_access_id bigint,
    answers        jsonb  NOT NULL,
    extra          jsonb  NOT NULL,
    estimated_value_amount   bigint,
    estimated_value_currency text,
    version        bigint NOT NULL,
    position       bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
COMMENT ON TABLE leads IS 'One row per lead. Read model: rebuilt from events by `leadledger rebuild`.';
COMMENT ON COLUMN leads.estimated_value_amount IS 'In the minor unit of the currency: cents, centavos.';
COMMENT ON COLUMN leads.phone IS 'E.164, with ";ext=…" when there is an extension.';
COMMENT ON COLUMN leads.position IS 'Ledger position of the last event that touched the row.';

-- Each list order is one index; each filter that thins a big company's list has its own, so that a page never scans.
CREATE INDEX leads_created ON leads (company_id, created_at, id);
CREATE INDEX leads_updated ON leads (company_id, updated_at, id);
CREATE INDEX leads_name ON leads (company_id, full_name, id);
CREATE INDEX leads_stage ON leads (company_id, stage_id, created_at, id);
CREATE INDEX leads_assignee ON leads (company_id, user_access_id, created_at, id);
CREATE INDEX leads_source ON leads (company_id, source_id, created_at, id) WHERE source_id IS NOT NULL;
CREATE INDEX leads_campaign ON leads (company_id, campaign_id, created_at, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX leads_territory ON leads (company_id, territory_id, created_at, id) WHERE territory_id IS NOT NULL;
CREATE INDEX leads_cycle ON leads (company_id, cycle_id, created_at, id) WHERE cycle_id IS NOT NULL;
-- The two duplicate keys.
CREATE INDEX leads_email ON leads (company_id, email) WHERE email IS NOT NULL;
CREATE INDEX leads_phone ON leads (company_id, split_part(phone, ';', 1)) WHERE phone IS NOT NULL;
CREATE INDEX leads_search ON leads USING gin (search gin_trgm_ops);

CREATE TABLE stage_counts (
    company_id     bigint NOT NULL,
    stage_id       bigint NOT NULL,
    source_id      bigint NOT NULL,
    campaign_id    bigint NOT NULL,
    cycle_id       bigint NOT NULL,
    territory_id   bigint NOT NULL,
    user_access_id bigint NOT NULL,
    count          bigint NOT NULL,
    PRIMARY KEY (company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id)
);
COMMENT ON TABLE stage_counts IS 'Leads by stage and dimension; 0 stands for an absent source, campaign, cycle, territory or assignee.';

CREATE TABLE stage_counts_daily (
    company_id     bigint NOT NULL,
    created_on     date   NOT NULL,
    stage_id       bigint NOT NULL,
    source_id      bigint NOT NULL,
    campaign_id    bigint NOT NULL,
    cycle_id       bigint NOT NULL,
    territory_id   bigint NOT NULL,
    user_access_id bigint NOT NULL,
    count          bigint NOT NULL,
    PRIMARY KEY (company_id, created_on, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id)
);
COMMENT ON TABLE stage_counts_daily IS 'As stage_counts, by the day (UTC) on which the lead was created.';

CREATE TABLE duplicates (
    lead_id         bigint PRIMARY KEY,
    company_id      bigint NOT NULL,
    duplicate_group bigint NOT NULL,
    matched_on      text[] NOT NULL
);
COMMENT ON TABLE duplicates IS 'Every lead that shares a normalised e-mail or phone with another of its company, directly or through others; the group is the id of its oldest lead.';
CREATE INDEX duplicates_group ON duplicates (company_id, duplicate_group, lead_id);

CREATE TABLE duplicate_counts (
    company_id bigint PRIMARY KEY,
    count      bigint NOT NULL
);
COMMENT ON TABLE duplicate_counts IS 'How many leads of a company are in a duplicate group.';

CREATE TABLE lead_notes (
    id         bigint PRIMARY KEY,
    lead_id    bigint NOT NULL,
    company_id bigint,
    author_id  bigint NOT NULL,
    content    text   NOT NULL,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX lead_notes_lead ON lead_notes (lead_id, id);
