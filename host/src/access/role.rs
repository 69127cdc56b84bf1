//! Roles of tokens, and the permissions that operations need.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// See everything.
    View,
    /// See everything, and act on events and deliveries: publish, replay, redrive, pause, drain, change state.
    Operate,
    /// See everything, and change plugins: upload, remove, configure, enable, drain, compare, roll back.
    Deploy,
    /// Everything, including tokens and the audit log.
    Admin,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing: health and readiness.
    Open,
    /// To see.
    View,
    /// To act on events and deliveries.
    Operate,
    /// To change plugins.
    Deploy,
    /// To stop and continue the work of a plugin, which operators and deployments both need.
    Drain,
    /// To manage tokens and to read the audit log.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::View, Self::Operate, Self::Deploy, Self::Admin];

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    /// Whether the role includes a permission.
    #[must_use]
    pub fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::Open | Permission::View => true,
            Permission::Operate => matches!(self, Self::Operate | Self::Admin),
            Permission::Deploy => matches!(self, Self::Deploy | Self::Admin),
            Permission::Drain => matches!(self, Self::Operate | Self::Deploy | Self::Admin),
            Permission::Admin => self == Self::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The error for a text that is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the roles are view, operate, deploy and admin")]
pub struct UnknownRoleError;

impl FromStr for Role {
    type Err = UnknownRoleError;

    fn from_str(text: &str) -> Result<Self, UnknownRoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRoleError)
    }
}

impl Permission {
    /// The roles that include the permission, for messages.
    #[must_use]
    pub fn roles(self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| role.permits(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_includes_what_its_description_says() {
        let of = |role: Role| {
            let all = [Permission::View, Permission::Operate, Permission::Deploy, Permission::Drain, Permission::Admin];
            all.map(|permission| role.permits(permission))
        };
        assert_eq!(of(Role::View), [true, false, false, false, false]);
        assert_eq!(of(Role::Operate), [true, true, false, true, false]);
        assert_eq!(of(Role::Deploy), [true, false, true, true, false]);
        assert_eq!(of(Role::Admin), [true; 5]);
        assert!(Role::ALL.into_iter().all(|role| role.permits(Permission::Open)));
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRoleError));
        assert_eq!(Permission::Drain.roles(), [Role::Operate, Role::Deploy, Role::Admin]);
    }
}
