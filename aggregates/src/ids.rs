//! Ids as types, so that one kind cannot be passed for another.
//!
//! All are positive integers that never change, given by the ledger when the creating command is decided, and stored
//! in the creating event. A stream is named by the decimal text of its id: stream names carry no personal data.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// The integer as it goes over the wire and into tables.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<i64> for $name {
            fn from(value: i64) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// A user, across all companies.
    UserId
);
id!(
    /// A company, a node of the companies' tree.
    CompanyId
);
id!(
    /// The relation of one user to one company: a role held there.
    UserAccessId
);
id!(
    /// A lead of one company.
    LeadId
);
id!(
    /// A note on a lead.
    NoteId
);
id!(
    /// Where leads come from, as a company names it.
    SourceId
);
id!(
    /// A campaign of a company.
    CampaignId
);
id!(
    /// A dated working period of a company.
    CycleId
);
id!(
    /// A territory of a company.
    TerritoryId
);
id!(
    /// A question that a company asks its leads.
    QuestionId
);
id!(
    /// One of the prepared answers to a question.
    OptionId
);
id!(
    /// An offer of a role to an e-mail address.
    InvitationId
);
id!(
    /// One subscription of a company to a plan.
    SubscriptionId
);
id!(
    /// A meeting with the person behind a lead.
    AppointmentId
);
id!(
    /// A published text of legal terms.
    LegalTermId
);
id!(
    /// A linked `OpenID` Connect identity of a user.
    ProviderId
);
id!(
    /// A private integration token of a company.
    IntegrationTokenId
);
id!(
    /// A legal hold on a lead or on a company.
    LegalHoldId
);
id!(
    /// A file of leads on its way into a company.
    ImportId
);
