//! Which version of an Application runs where.

use std::collections::BTreeMap;

use api::hub::{AppRow, ImageRow, MatrixApp, MatrixCell, MatrixVersion};

use crate::short;

/// Returns the image that stands for an Application: the one named as it, else the only one.
pub fn main_image<'a>(app: &str, images: &'a [ImageRow]) -> Option<&'a ImageRow> {
    let repository = |image: &str| split(image).0.rsplit('/').next().unwrap_or_default().to_owned();
    images.iter().find(|image| repository(&image.image) == app).or(match images {
        [only] => Some(only),
        _ => None,
    })
}

/// Returns what people call the version: the tag of the main image, else the short commit.
pub fn name(app: &str, revision: &str, images: &[ImageRow]) -> String {
    let tag = main_image(app, images).and_then(|image| split(&image.image).1);
    tag.unwrap_or_else(|| short(revision)).to_owned()
}

/// Splits an image into its repository and its tag; a digest is no tag.
fn split(image: &str) -> (&str, Option<&str>) {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    match name[slash..].rfind(':') {
        Some(at) => (&name[..slash + at], Some(&name[slash + at + 1..])),
        None => (name, None),
    }
}

/// Returns the matrix of versions and cluster sets, by Application.
pub fn matrix<'a>(rows: impl IntoIterator<Item = &'a AppRow>) -> Vec<MatrixApp> {
    type Versions<'a> = BTreeMap<(&'a str, &'a str), MatrixVersion>;
    let mut apps: BTreeMap<(&str, &str), Versions> = BTreeMap::new();
    for row in rows {
        let versions = apps.entry((&row.namespace, &row.name)).or_default();
        let digest = main_image(&row.name, &row.images).map(|image| image.digest.as_str()).unwrap_or_default();
        let version = versions.entry((&row.version, &row.revision)).or_insert_with(|| MatrixVersion {
            version: row.version.clone(),
            revision: row.revision.clone(),
            digest: digest.to_owned(),
            ..MatrixVersion::default()
        });
        if version.digest != digest {
            version.digest.clear();
        }
        version.clusters += 1;
        let cell: &mut MatrixCell = version.sets.entry(row.set.clone()).or_default();
        cell.clusters += 1;
        cell.synced += u64::from(row.sync == "Synced");
        cell.healthy += u64::from(row.health == "Healthy");
        let health = match row.health.as_str() {
            // Kubernetes takes minutes to give a rollout up.
            _ if !row.trouble.is_empty() => "Degraded",
            "" => "Unknown",
            told => told,
        };
        *cell.health.entry(health.to_owned()).or_default() += 1;
        cell.current += u64::from(row.is_current);
    }
    let app = |((namespace, name), versions): ((&str, &str), BTreeMap<_, MatrixVersion>)| {
        let mut versions: Vec<MatrixVersion> = versions.into_values().collect();
        versions
            .sort_by(|a, b| b.clusters.cmp(&a.clusters).then_with(|| b.version.cmp(&a.version)).then_with(|| a.revision.cmp(&b.revision)));
        MatrixApp { app: format!("{namespace}/{name}"), clusters: versions.iter().map(|v| v.clusters).sum(), versions }
    };
    apps.into_iter().map(app).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(list: &[&str]) -> Vec<ImageRow> {
        list.iter().map(|image| ImageRow { image: (*image).to_owned(), digest: "sha256:1".into() }).collect()
    }

    #[test]
    fn a_version_is_the_tag_of_the_main_image_else_the_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let check = |list: &[&str], expect: &str| assert_eq!(name("web", commit, &images(list)), expect, "{list:?}");
        check(&["r.io:5000/shop/web:1.2"], "1.2");
        check(&["cache:7", "shop/web:2@sha256:ab"], "2");
        check(&["cache:7", "proxy:1"], "0123456");
        check(&["localhost:5000/web"], "0123456");
        check(&["other:3"], "3");
        check(&[], "0123456");
    }

    #[test]
    fn the_matrix_counts_clusters_by_version_and_set() {
        let row = |cluster: &str, set: &str, version: &str, sync: &str, health: &str| AppRow {
            cluster: cluster.into(),
            set: set.into(),
            namespace: "edge".into(),
            name: "web".into(),
            version: version.into(),
            sync: sync.into(),
            health: health.into(),
            is_current: true,
            ..AppRow::default()
        };
        let rows = [
            row("a", "east", "2", "Synced", "Healthy"),
            row("b", "east", "2", "OutOfSync", "Degraded"),
            row("c", "west", "1", "Synced", ""),
            row("d", "west", "2", "Synced", "Progressing"),
            AppRow { trouble: "ImagePullBackOff".into(), ..row("e", "west", "2", "Synced", "Progressing") },
        ];
        let matrix = matrix(&rows);
        assert_eq!((matrix.len(), matrix[0].app.as_str(), matrix[0].clusters), (1, "edge/web", 5));
        assert_eq!(matrix[0].versions.iter().map(|v| (v.version.as_str(), v.clusters)).collect::<Vec<_>>(), [("2", 4), ("1", 1)]);
        let cell = &matrix[0].versions[0].sets["east"];
        assert_eq!((cell.clusters, cell.synced, cell.healthy, cell.current), (2, 1, 1, 2));
        let health = |version: usize, set: &str| {
            let counts = &matrix[0].versions[version].sets[set].health;
            counts.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            [health(0, "east"), health(0, "west"), health(1, "west")],
            ["Degraded 1, Healthy 1", "Degraded 1, Progressing 1", "Unknown 1"]
        );
    }
}
