//! Who acts on a cluster's Applications: never two.

use std::fmt;

/// What the agent is told: by its configuration, or by an Application's `muster.dev/engine` annotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Observe where a live Argo CD is found, act otherwise.
    #[default]
    Auto,
    Native,
    Observe,
    Off,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" | "" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "observe" => Ok(Self::Observe),
            "off" => Ok(Self::Off),
            other => Err(format!("{other:?} is no GitOps engine mode: use auto, native, observe or off")),
        }
    }
}

/// What is done with an Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// We sync it.
    Native,
    /// Somebody else does; we report what is written in it.
    Observe,
    /// Nothing.
    Off,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Observe => "observe",
            Self::Off => "off",
        })
    }
}

/// What speaks for a live Argo CD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// A workload labelled `app.kubernetes.io/name=argocd-application-controller` that wants at least one replica.
    pub has_controller: bool,
    /// The Application's status names a controller's namespace that is not ours.
    pub names_other_controller: bool,
}

/// Returns what is done with an Application; its own annotation is stronger than the agent's mode.
pub fn engine(agent: Mode, application: Option<Mode>, found: Found) -> Engine {
    let mode = match application {
        Some(own) if own != Mode::Auto && agent != Mode::Off => own,
        _ => agent,
    };
    match mode {
        Mode::Native => Engine::Native,
        Mode::Observe => Engine::Observe,
        Mode::Off => Engine::Off,
        Mode::Auto if found.has_controller || found.names_other_controller => Engine::Observe,
        Mode::Auto => Engine::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_argo_cd_is_observed_and_told_modes_are_kept() {
        let argo = Found { has_controller: true, names_other_controller: false };
        assert_eq!(engine(Mode::Auto, None, Found::default()), Engine::Native);
        assert_eq!(engine(Mode::Auto, None, argo), Engine::Observe);
        assert_eq!(engine(Mode::Native, None, argo), Engine::Native);
        assert_eq!(engine(Mode::Auto, Some(Mode::Native), argo), Engine::Native);
        assert_eq!(engine(Mode::Native, Some(Mode::Off), Found::default()), Engine::Off);
        assert_eq!(engine(Mode::Off, Some(Mode::Native), Found::default()), Engine::Off, "off is off");
    }
}
