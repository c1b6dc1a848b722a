//! The `OpenID` Connect identities that a user has linked. That an identity belongs to one user only is a claim at the ledger.

use serde::{Deserialize, Serialize};

use super::{User, UserError, UserEvent};
use crate::Personal;
use crate::email::Email;
use crate::ids::ProviderId;

/// A linked identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    id: ProviderId,
    name: String,
    uid: Personal<String>,
}

/// A wish that concerns a linked identity.
#[derive(Debug, Clone)]
pub enum ProviderCommand {
    /// Link an identity that the caller has verified. Linking it again changes nothing.
    LinkProvider {
        /// The new link's id.
        provider_id: ProviderId,
        /// The issuer as the installation calls it, such as `google`.
        provider: String,
        /// The issuer's own id of the person.
        uid: String,
        /// The e-mail that the issuer vouches for.
        email: Option<Email>,
    },
    /// Forget a linked identity.
    UnlinkProvider {
        /// Which one.
        provider_id: ProviderId,
    },
}

impl User {
    /// The linked identity's id, if this identity is linked.
    #[must_use]
    pub fn linked(&self, provider: &str, uid: &str) -> Option<ProviderId> {
        let same = |known: &&Provider| {
            known.name == provider && known.uid.plain().is_some_and(|plain| plain == uid)
        };
        self.providers.iter().find(same).map(|known| known.id)
    }

    pub(super) fn provide(&self, command: ProviderCommand) -> Result<Vec<UserEvent>, UserError> {
        match command {
            ProviderCommand::LinkProvider { provider, uid, .. }
                if self.linked(&provider, &uid).is_some() =>
            {
                Ok(vec![])
            }
            ProviderCommand::LinkProvider {
                provider_id,
                provider,
                uid,
                email,
            } => Ok(vec![UserEvent::ProviderLinked {
                provider_id,
                provider,
                uid: uid.into(),
                email: email.map(Personal::from),
            }]),
            ProviderCommand::UnlinkProvider { provider_id } => {
                let known = self.providers.iter().find(|known| known.id == provider_id);
                let known = known.ok_or(UserError::UnknownProvider)?;
                Ok(vec![UserEvent::ProviderUnlinked {
                    provider_id,
                    provider: known.name.clone(),
                }])
            }
        }
    }

    pub(super) fn evolve_providers(&mut self, event: &UserEvent) {
        match event {
            UserEvent::ProviderLinked {
                provider_id,
                provider,
                uid,
                ..
            } => self.providers.push(Provider {
                id: *provider_id,
                name: provider.clone(),
                uid: uid.clone(),
            }),
            UserEvent::ProviderUnlinked { provider_id, .. } => {
                self.providers.retain(|known| known.id != *provider_id);
            }
            _ => {}
        }
    }
}
