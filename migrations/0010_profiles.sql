-- Read models beside users and companies: pictures, first steps, linked identities; and the legal terms.

CREATE TABLE user_avatars (
    user_id    bigint PRIMARY KEY,
    file       text,
    media_type text,
    size       bigint,
    position   bigint NOT NULL
);
COMMENT ON COLUMN user_avatars.file IS 'Name in the object store and last part of the path; null when the avatar was removed.';
CREATE INDEX user_avatars_file ON user_avatars (file) WHERE file IS NOT NULL;

CREATE TABLE company_avatars (
    company_id bigint PRIMARY KEY,
    file       text,
    media_type text,
    size       bigint,
    position   bigint NOT NULL
);
CREATE INDEX company_avatars_file ON company_avatars (file) WHERE file IS NOT NULL;

CREATE TABLE user_onboarding (
    user_id       bigint PRIMARY KEY,
    completed_at  timestamptz,
    legal_term_id bigint,
    approved_at   timestamptz,
    position      bigint NOT NULL
);
COMMENT ON COLUMN user_onboarding.legal_term_id IS 'The terms that the user approved last.';

CREATE TABLE legal_terms (
    id           bigint PRIMARY KEY,
    version      text   NOT NULL,
    title        text   NOT NULL,
    content      text   NOT NULL,
    content_hash text   NOT NULL,
    position     bigint NOT NULL,
    published_at timestamptz NOT NULL
);
COMMENT ON TABLE legal_terms IS 'Published texts, never changed; the one with the highest id is current.';

CREATE TABLE user_providers (
    id         bigint PRIMARY KEY,
    user_id    bigint NOT NULL,
    provider   text   NOT NULL,
    uid        text,
    email      text,
    position   bigint NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX user_providers_user ON user_providers (user_id, id);
