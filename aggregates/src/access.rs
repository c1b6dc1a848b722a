//! The roles that a user can hold in a company, and what each may do (contract decision "Accesses").
//!
//! This table is the one place where rights are written down; everything else asks [`Role::may`].

use serde::{Deserialize, Serialize};

/// A role. On the wire it is an "access" with a fixed id and code; in events it is its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, including membership, legal hold and erasure.
    Owner,
    /// Users, accesses, invitations, the company's profile, and all below.
    Admin,
    /// Catalogues, imports and every lead.
    Manager,
    /// The leads assigned to them, and reading the unassigned ones.
    Agent,
    /// Reading leads, metrics, exports.
    Analyst,
    /// Reading leads, metrics, and the history.
    Auditor,
}

/// A group of operations that the contract's table grants together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Membership, legal hold, erasure.
    Govern,
    /// Users, accesses, invitations, company profile.
    Administer,
    /// Sources, questions, campaigns, cycles, territories, imports.
    Configure,
    /// Create and change leads, notes, appointments.
    WriteLeads,
    /// Read leads.
    ReadLeads,
    /// Metrics, export, analytics.
    Analyse,
    /// History, as-of reads, proofs.
    Audit,
}

/// How far a right reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Only leads assigned to the caller (for reading also the unassigned ones).
    Own,
    /// Everything in the company and below.
    All,
}

impl Role {
    /// Every role, in catalogue order.
    pub const ALL: [Self; 6] = [
        Self::Owner,
        Self::Admin,
        Self::Manager,
        Self::Agent,
        Self::Analyst,
        Self::Auditor,
    ];

    /// The contract's table: how far `right` reaches for this role; `None` when it is not granted.
    #[must_use]
    pub const fn may(self, right: Right) -> Option<Reach> {
        use Reach::{All, Own};
        use Role::{Admin, Agent, Analyst, Auditor, Manager, Owner};
        match (right, self) {
            (Right::Govern, Owner)
            | (Right::Administer, Owner | Admin)
            | (Right::Configure | Right::WriteLeads, Owner | Admin | Manager)
            | (Right::ReadLeads | Right::Analyse, Owner | Admin | Manager | Analyst | Auditor)
            | (Right::Audit, Owner | Admin | Manager | Auditor) => Some(All),
            (Right::WriteLeads | Right::ReadLeads | Right::Analyse, Agent) => Some(Own),
            _ => None,
        }
    }

    /// The fixed id, 1 to 6.
    #[must_use]
    pub const fn id(self) -> i64 {
        self as i64 + 1
    }

    /// The fixed code, such as `manager`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Agent => "agent",
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
        }
    }

    /// The English name, such as `Manager`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Manager => "Manager",
            Self::Agent => "Agent",
            Self::Analyst => "Analyst",
            Self::Auditor => "Auditor",
        }
    }

    /// The role with this id.
    #[must_use]
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }
}
