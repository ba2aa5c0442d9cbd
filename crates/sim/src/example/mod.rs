//! The examples that come with the program: a fleet, the repositories it follows, and the hub's objects.
//!
//! ```text
//! examples/<name>/fleet.yaml             which clusters there are: `generator`
//! examples/<name>/repos/<repo>/          history.yaml, and tree/ as it is today: `history`
//! examples/<name>/hub/**.yaml            what the hub is given; ${GIT_URL} stands for where the repositories are served
//! examples/<name>/stories/NN-*.yaml      what may happen: `crate::story`
//! ```
//! All of it is data. Nothing here talks to a hub; making repositories is all that touches the disk.

mod generator;
pub(crate) mod history;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::spec::FleetSpec;
use crate::story::Story;
pub use generator::Generator;
pub use history::History;

include!(concat!(env!("OUT_DIR"), "/examples.rs"));

const URL_PLACE: &str = "${GIT_URL}";
/// Of the first repository in the fleet's directory that says who may do what on the hub.
const ACCESS: &str = "repos/infrastructure/tree/access/";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no example {name:?}; there are {known}")]
    Unknown { name: String, known: String },
    #[error("{file}: {problem}")]
    File { file: String, problem: String },
    #[error("failed to make the repository {repository}: {problem}")]
    Repository { repository: String, problem: String },
}

/// One of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    name: &'static str,
}

impl Example {
    pub fn named(name: &str) -> Result<Self, Error> {
        match FILES.iter().find(|(example, ..)| *example == name) {
            Some((name, ..)) => Ok(Self { name }),
            None => {
                let known: BTreeSet<&str> = FILES.iter().map(|(example, ..)| *example).collect();
                Err(Error::Unknown { name: name.into(), known: known.into_iter().collect::<Vec<_>>().join(", ") })
            }
        }
    }

    pub fn name(self) -> &'static str {
        self.name
    }

    /// Returns paths and texts of the files below a path, sorted.
    pub fn files(self, below: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let files = FILES.iter().filter(move |(example, path, _)| *example == self.name && path.starts_with(below));
        files.map(|(_, path, text)| (*path, *text))
    }

    pub fn file(self, path: &str) -> Option<&'static str> {
        self.files(path).find(|(found, _)| *found == path).map(|(_, text)| text)
    }

    /// Returns what draws the fleet's clusters.
    pub fn generator(self) -> Result<Generator, Error> {
        let text = self.file("fleet.yaml").unwrap_or_default();
        Generator::parse(text).map_err(|problem| Error::File { file: format!("examples/{}/fleet.yaml", self.name), problem })
    }

    /// Returns the fleet with so many stores; spare are those that a story plugs in.
    pub fn fleet(self, stores: u32) -> Result<FleetSpec, Error> {
        let generator = self.generator()?;
        let mut fleet = generator.fleet(stores);
        let mut spare = BTreeSet::new();
        for (path, text) in self.files("stories/") {
            let failed = |problem| Error::File { file: format!("examples/{}/{path}", self.name), problem };
            spare.extend(Story::parse(text).map_err(failed)?.unplugged);
        }
        spare.retain(|name| !fleet.stores.iter().any(|store| store.name == *name));
        if !spare.is_empty() {
            fleet.spare = generator.fleet(generator.stores_max()).stores;
            fleet.spare.retain(|store| spare.contains(&store.name));
        }
        Ok(fleet)
    }

    /// Returns the names of the repositories, sorted.
    pub fn repositories(self) -> BTreeSet<&'static str> {
        self.files("repos/").filter_map(|(path, _)| path.split('/').nth(1)).collect()
    }

    /// Returns how a repository came to be.
    pub fn history(self, repository: &str) -> Result<History, Error> {
        let at = format!("repos/{repository}/");
        let failed = |problem| Error::File { file: format!("examples/{}/{at}history.yaml", self.name), problem };
        let tree = format!("{at}tree/");
        let files = self.files(&tree).map(|(path, text)| (path[tree.len()..].to_owned(), text.to_owned())).collect();
        let text = self.file(&format!("{at}history.yaml")).ok_or_else(|| failed("it is not there".into()))?;
        History::parse(text, files).map_err(failed)
    }

    /// Makes all bare repositories `<root>/<name>.git` that are not there yet.
    pub fn make_repositories(self, root: &Path) -> Result<(), Error> {
        for repository in self.repositories() {
            let made = self.history(repository)?.make(&root.join(format!("{repository}.git")));
            made.map_err(|problem| Error::Repository { repository: repository.into(), problem })?;
        }
        Ok(())
    }

    /// Returns the hub's objects, in an order in which they can be applied.
    pub fn hub_objects(self, git_url: &str) -> Result<Vec<Value>, Error> {
        let mut objects = Vec::new();
        for (path, text) in self.files("hub/").chain(self.files(ACCESS)) {
            let text = text.replace(URL_PLACE, git_url);
            let documents = apimachinery::yaml::from_str_many(&text, apimachinery::yaml::DuplicateKeys::Refuse);
            let failed = |problem: String| Error::File { file: format!("examples/{}/{path}", self.name), problem };
            objects.extend(documents.map_err(|e| failed(e.to_string()))?.into_iter().filter(|d| !d.is_null()));
        }
        // Stable: a file's own order stays.
        objects.sort_by_key(|object| match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => 0,
            "ManagedClusterSet" => 1,
            "ManagedClusterSetBinding" => 2,
            "Placement" => 3,
            _ => 4,
        });
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_example_is_told_which_there_are() {
        assert_eq!(Example::named("frist").expect_err("unknown").to_string(), "there is no example \"frist\"; there are first, retail");
    }

    #[test]
    fn every_example_is_readable_and_complete() {
        for name in ["first", "retail"] {
            let example = Example::named(name).expect("there");
            let fleet = example.fleet(50).expect("a fleet");
            assert!(fleet.stores.len() >= 50);
            let objects = example.hub_objects("http://git").expect("objects");
            assert_eq!(objects[0]["kind"], "Namespace");
            for repository in example.repositories() {
                let history = example.history(repository).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(
                    history.left_out(),
                    Vec::<String>::new(),
                    "{name}/{repository}: files that no commit brings, or not in their last words"
                );
            }
        }
    }

    #[test]
    fn the_retailer_s_repositories_have_a_past() {
        let retail = Example::named("retail").expect("there");
        for repository in retail.repositories() {
            let history = retail.history(repository).expect("a history");
            assert!(history.commits() >= 6, "{repository}");
            assert!(history.authors().len() >= 3, "{repository}");
            assert!(retail.file(&format!("repos/{repository}/tree/CODEOWNERS")).is_some(), "{repository}");
        }
    }

    #[test]
    fn every_work_is_placed_and_names_a_directory_that_its_branch_has() {
        let retail = Example::named("retail").expect("there");
        let objects = retail.hub_objects("http://git").expect("objects");
        let placements: BTreeSet<&str> =
            objects.iter().filter(|o| o["kind"] == "Placement").filter_map(|o| o["metadata"]["name"].as_str()).collect();
        let mut placed = BTreeSet::new();
        for work in objects.iter().filter(|o| o["kind"] == "ManifestWorkReplicaSet") {
            let name = work["spec"]["placementRefs"][0]["name"].as_str().expect("a placement");
            assert!(placements.contains(name), "{name}");
            placed.insert(name);
            let source = &work["spec"]["manifestWorkTemplate"]["workload"]["manifests"][1]["spec"]["source"];
            let repository = source["repoURL"].as_str().expect("a URL").trim_start_matches("http://git/").trim_end_matches(".git");
            let history = retail.history(repository).expect("a history");
            let at = format!("{}/kustomization.yaml", source["path"].as_str().expect("a path"));
            assert!(history.branch(source["targetRevision"].as_str().expect("a branch")).contains_key(&at), "{repository}: {at}");
        }
        assert_eq!(placed, placements, "a placement that places nothing is decoration");
    }
}
