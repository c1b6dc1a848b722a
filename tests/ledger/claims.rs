//! Claims: one user per e-mail, whoever asks at once.

use aggregates::email::Email;
use aggregates::ids::UserId;
use aggregates::user::{Profile, Register, Status, User, UserCommand};
use futures::future::join_all;
use leadledger::ledger::{CommitError, Committed, IdKind, Ledger, Provenance, Refusal, Work};

use crate::node::{assert_sound, open};
use crate::support::database::TestDatabase;

pub async fn sign_up(ledger: &Ledger, email: &str) -> Result<Committed, CommitError> {
    let email = Email::parse(email).unwrap();
    let claim = ledger.email_claim(&email);
    let taken = claim.clone();
    let work = Work::new(Provenance::system("test"), move |unit| {
        let user_id = UserId(unit.next_id(IdKind::User));
        unit.claim(&taken, user_id.get(), Refusal::EmailTaken)?;
        let register = Register {
            user_id,
            email: email.clone(),
            profile: Profile::default(),
            password_hash: None,
            status: Status::Pending,
            platform_owner: false,
        };
        unit.execute::<User>(user_id.get(), UserCommand::Register(Box::new(register)))?;
        Ok(user_id.get())
    });
    ledger.commit(work.claiming(claim)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_sign_up_with_one_email_at_once_one_wins() {
    let database = TestDatabase::create().await;
    let nodes = [open(&database).await, open(&database).await];
    let outcomes = join_all((0..20_usize).map(|n| {
        let ledger = nodes[n % 2].clone();
        tokio::spawn(async move {
            let email = ["Ana@example.com", "ana@EXAMPLE.com"][n % 2];
            sign_up(&ledger, email).await
        })
    }))
    .await;
    let mut won = Vec::new();
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(committed) => won.push(committed.resource_id),
            Err(error) => assert!(
                matches!(error, CommitError::Refused(Refusal::EmailTaken)),
                "{error}"
            ),
        }
    }
    assert_eq!(won, [1]);
    assert_eq!(assert_sound(&database).await, 1);
    let other = sign_up(&nodes[1], "bea@example.com").await.unwrap();
    assert_eq!(other.resource_id, 2);
}
