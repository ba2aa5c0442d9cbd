//! The kinds that the agent needs on its cluster.
//!
//! Missing ones are installed, ours are kept current, those of others (a real Argo CD's, a klusterlet's) are left alone.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};

use crate::registration::Error;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const US: &str = "muster-agent";

pub async fn install(local: &Client) -> Result<(), Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(local.clone());
    let params = PatchParams::apply(US).force();
    for mut definition in api::spoke_crds().iter().cloned() {
        let name = definition.name_any();
        let present = definitions.get_metadata_opt(&name).await.map_err(Error::local("look for a kind"))?;
        if present.is_some_and(|found| found.labels().get(MANAGED_BY).map(String::as_str) != Some(US)) {
            tracing::info!(kind = %name, "the kind is somebody else's and left as it is");
            continue;
        }
        definition.labels_mut().insert(MANAGED_BY.into(), US.into());
        definitions.patch(&name, &params, &Patch::Apply(&definition)).await.map_err(Error::local("install a kind"))?;
    }
    Ok(())
}
