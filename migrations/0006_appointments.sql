-- Read model of the appointments on leads.

CREATE TABLE appointments (
    id          bigint PRIMARY KEY,
    lead_id     bigint NOT NULL,
    company_id  bigint,
    user_id     bigint NOT NULL,
    title       text   NOT NULL,
    description text,
    location    text,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    status      text   NOT NULL,
    position    bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX appointments_user ON appointments (user_id, starts_at, id);
CREATE INDEX appointments_lead ON appointments (lead_id, starts_at, id);
