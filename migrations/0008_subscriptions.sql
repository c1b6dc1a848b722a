-- Read models of subscriptions, and of the totals that their limits are checked against.

-- The last subscription of each company that ever had one.
CREATE TABLE subscriptions (
    company_id     bigint PRIMARY KEY,
    id             bigint NOT NULL,
    plan           text   NOT NULL,
    price          bigint NOT NULL,
    currency       text   NOT NULL,
    period         text   NOT NULL,
    max_users      bigint,
    lead_limit     bigint,
    phase          text   NOT NULL,
    started_at     timestamptz NOT NULL,
    trial_ends_at  timestamptz,
    period_ends_at timestamptz NOT NULL,
    cancelled_at   timestamptz,
    ends_at        timestamptz,
    version        bigint NOT NULL,
    position       bigint NOT NULL
);
COMMENT ON COLUMN subscriptions.price IS 'Minor units of the currency, as agreed upon.';
COMMENT ON COLUMN subscriptions.lead_limit IS 'How many leads the company may have now; null without limit. After the end it is no longer what the plan allowed.';
COMMENT ON COLUMN subscriptions.phase IS 'trialing, active, cancelling or ended.';
-- What is due next.
CREATE INDEX subscriptions_due ON subscriptions (period_ends_at) WHERE phase <> 'ended';

-- How much of each thing a company has by itself, those below it apart. Kept up to date by difference, never counted.
CREATE TABLE company_totals (
    company_id bigint PRIMARY KEY,
    leads      bigint NOT NULL
);
INSERT INTO company_totals (company_id, leads) SELECT company_id, count(*) FROM leads GROUP BY company_id;
