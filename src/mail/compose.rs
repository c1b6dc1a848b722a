//! What the mails say. The words are in `templates/`, one file per mail with all its languages; its first line is the
//! subject. The HTML part is made of the same paragraphs, so that the two parts cannot differ.

use aggregates::access::Role;
use aggregates::email::Email;
use askama::Template;
use chrono::{DateTime, Utc};

use super::language::Language;

/// A mail ready to be addressed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Who gets it.
    pub to: Email,
    /// One line.
    pub subject: String,
    /// The plain part.
    pub text: String,
    /// The part for programs that show HTML.
    pub html: String,
}

#[derive(Template)]
#[template(path = "password_reset.txt")]
struct PasswordReset<'a> {
    language: Language,
    first_name: Option<&'a str>,
    link: &'a str,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "email_proof.txt")]
struct EmailProof<'a> {
    language: Language,
    first_name: Option<&'a str>,
    link: &'a str,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "invitation.txt")]
struct Invitation<'a> {
    language: Language,
    company_name: &'a str,
    role_name: &'a str,
    inviter: Option<&'a str>,
    link: &'a str,
    expires_at: String,
}

#[derive(Template)]
#[template(path = "layout.html")]
struct Layout<'a> {
    language: Language,
    subject: &'a str,
    paragraphs: Vec<&'a str>,
    link: &'a str,
}

/// A link to a new password.
#[must_use]
pub fn password_reset(
    to: Email,
    first_name: Option<&str>,
    link: &str,
    expires_at: DateTime<Utc>,
    language: Language,
) -> Mail {
    let words = PasswordReset {
        language,
        first_name,
        link,
        expires_at: minute(expires_at),
    };
    laid_out(to, &words, link, language)
}

/// A link that proves the e-mail.
#[must_use]
pub fn email_proof(
    to: Email,
    first_name: Option<&str>,
    link: &str,
    expires_at: DateTime<Utc>,
    language: Language,
) -> Mail {
    let words = EmailProof {
        language,
        first_name,
        link,
        expires_at: minute(expires_at),
    };
    laid_out(to, &words, link, language)
}

/// An invitation to a company. `inviter` is the first name of whoever invites.
#[must_use]
pub fn invitation(
    to: Email,
    company_name: &str,
    role: Role,
    inviter: Option<&str>,
    link: &str,
    expires_at: DateTime<Utc>,
    lang: Option<&str>,
) -> Mail {
    let language = Language::of(lang);
    let words = Invitation {
        language,
        company_name,
        role_name: role_name(role, language),
        inviter,
        link,
        expires_at: minute(expires_at),
    };
    laid_out(to, &words, link, language)
}

fn laid_out(to: Email, words: &impl Template, link: &str, language: Language) -> Mail {
    let words = words
        .render()
        .expect("a template of texts writes into a String, which cannot fail");
    let (subject, text) = words.split_once('\n').unwrap_or((&words, ""));
    let (subject, text) = (subject.trim(), text.trim());
    let layout = Layout {
        language,
        subject,
        paragraphs: text.split("\n\n").map(str::trim).collect(),
        link,
    };
    Mail {
        to,
        subject: subject.to_owned(),
        text: format!("{text}\n"),
        html: layout
            .render()
            .expect("a template of texts writes into a String, which cannot fail"),
    }
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// What people call the role.
#[must_use]
pub const fn role_name(role: Role, language: Language) -> &'static str {
    match (language, role) {
        (Language::English, role) => role.name(),
        (Language::Spanish, Role::Owner) => "propietario",
        (Language::Portuguese, Role::Owner) => "proprietário",
        // The two languages share these words.
        (_, Role::Admin) => "administrador",
        (_, Role::Manager) => "gerente",
        (_, Role::Agent) => "agente",
        (_, Role::Analyst) => "analista",
        (_, Role::Auditor) => "auditor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Email {
        Email::parse("ana@example.com").unwrap()
    }

    const LINK: &str = "https://crm.example/x?token=a_b-c&lang=es";

    #[test]
    fn every_mail_has_a_subject_and_its_link_in_both_parts_in_each_language() {
        let mut subjects = std::collections::BTreeSet::new();
        for (tag, hello) in [
            ("es-MX", "Hola"),
            ("en", "Hello"),
            ("pt-BR", "Olá"),
            ("fr", "Hola"),
        ] {
            let language = Language::of(Some(tag));
            let time = DateTime::UNIX_EPOCH;
            for mail in [
                password_reset(ana(), Some("Ana"), LINK, time, language),
                email_proof(ana(), None, LINK, time, language),
                invitation(
                    ana(),
                    "Acme",
                    Role::Agent,
                    Some("Eva"),
                    LINK,
                    time,
                    Some(tag),
                ),
            ] {
                assert!(mail.text.starts_with(hello), "{}", mail.text);
                assert!(mail.text.lines().any(|line| line == LINK), "{}", mail.text);
                assert!(mail.text.contains("1970-01-01 00:00 UTC"));
                let escaped = LINK.replace('&', "&#38;");
                assert!(
                    mail.html.contains(&format!("href=\"{escaped}\"")),
                    "{}",
                    mail.html
                );
                assert!(mail.html.contains(&mail.subject), "{}", mail.html);
                subjects.insert(mail.subject);
            }
        }
        assert_eq!(subjects.len(), 9, "{subjects:?}");
    }

    #[test]
    fn what_people_wrote_cannot_become_html_or_a_header() {
        let mail = invitation(
            ana(),
            "<b>A & B</b>",
            Role::Owner,
            None,
            LINK,
            DateTime::UNIX_EPOCH,
            Some("en"),
        );
        assert_eq!(mail.subject, "Invitation to <b>A & B</b>");
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
        assert!(
            mail.text
                .contains("You are invited to <b>A & B</b> as Owner.")
        );
    }
}
