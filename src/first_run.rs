//! The first run: an empty ledger gets one platform owner and one default company (contract decision "First run").

use aggregates::access::Role;
use aggregates::company::{Company, CompanyCommand, CompanyName};
use aggregates::email::Email;
use aggregates::ids::{CompanyId, UserAccessId, UserId};
use aggregates::phone::Region;
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use anyhow::Context;
use aws_lc_rs::rand;
use secrecy::ExposeSecret;

mod legal_terms;

use crate::auth::password::Passwords;
use crate::config::Settings;
use crate::ledger::{CommitError, IdKind, Ledger, Provenance, Refusal, Work};

/// Who can sign in after the first run.
#[derive(Debug)]
pub struct FirstLogin {
    /// The platform owner's e-mail.
    pub email: String,
    /// Their password, when it was generated just now.
    pub generated_password: Option<String>,
}

/// Makes the platform owner and their company, unless the ledger has any user.
///
/// # Errors
/// When the configured e-mail or password is refused, or the ledger cannot be written.
pub async fn prepare(
    ledger: &Ledger,
    passwords: &Passwords,
    settings: &Settings,
) -> anyhow::Result<Option<FirstLogin>> {
    let email = Email::parse(&settings.owner_email).context("LEADLEDGER_OWNER_EMAIL")?;
    let (password, generated) = if let Some(password) = &settings.owner_password {
        (password.expose_secret().to_owned(), None)
    } else {
        let password = generate_password();
        (password.clone(), Some(password))
    };
    if !ledger.is_empty().await? {
        return Ok(None);
    }
    if let Err(broken) = aggregates::password::check(&password) {
        anyhow::bail!("LEADLEDGER_OWNER_PASSWORD {}", broken.join(", "));
    }
    let password_hash = passwords.hash(password).await?;
    let claim = ledger.email_claim(&email);
    let (taken, owner, region) = (claim.clone(), email.clone(), settings.region);
    let work = Work::new(Provenance::system("first run"), move |unit| {
        // Another node may have been faster: ids begin at 1 only once.
        let user_id = UserId(unit.next_id(IdKind::User));
        if user_id != UserId(1) {
            return Err(Refusal::Rule("not_first"));
        }
        unit.claim(&taken, user_id.get(), Refusal::EmailTaken)?;
        register(unit, user_id, &owner, &password_hash, region)?;
        Ok(user_id.get())
    })
    .claiming(claim);
    match ledger.commit(work).await {
        Ok(_) => Ok(Some(FirstLogin {
            email: email.to_string(),
            generated_password: generated,
        })),
        Err(CommitError::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn register(
    unit: &mut crate::ledger::Unit<'_>,
    user_id: UserId,
    email: &Email,
    password_hash: &str,
    region: Region,
) -> Result<(), Refusal> {
    let register = Register {
        user_id,
        email: email.clone(),
        profile: Profile::default(),
        password_hash: Some(password_hash.to_owned()),
        // Whoever sets the machine up need not prove an e-mail to it.
        status: Status::Active,
        platform_owner: true,
    };
    unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(register)))?;
    let company_id = CompanyId(unit.next_id(IdKind::Company));
    let create = CompanyCommand::Create {
        company_id,
        name: CompanyName::parse("Default company")
            .expect("a short text without control characters"),
        default: true,
        parent_company_id: None,
        region,
    };
    unit.execute::<Company>(company_id.get(), create)?;
    let user_access_id = UserAccessId(unit.next_id(IdKind::UserAccess));
    let grant = UserCommand::GrantAccess {
        user_access_id,
        company_id,
        role: Role::Owner,
        primary: true,
    };
    unit.execute::<User>(user_id.get(), grant)?;
    let own = CompanyCommand::AddOwner {
        user_access_id,
        user_id,
    };
    unit.execute::<Company>(company_id.get(), own)?;
    legal_terms::publish_first(unit)
}

/// 20 letters and digits without look-alikes, and one of each kind that the policy asks for: over 110 bits.
fn generate_password() -> String {
    const ALPHABET: &[u8; 56] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
        .first_chunk()
        .expect("the alphabet has 57 letters");
    let mut bytes = [0; 64];
    rand::fill(&mut bytes).expect("the system's random source answers");
    // Values at or above 224 would favour some letters.
    let letters = bytes.iter().filter(|byte| **byte < 224);
    let text: String = letters
        .take(20)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect();
    format!("{text}-aA7")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_generated_password_meets_the_policy() {
        for _ in 0..100 {
            let password = super::generate_password();
            assert_eq!(aggregates::password::check(&password), Ok(()));
            assert!(password.len() >= 16);
        }
    }
}
