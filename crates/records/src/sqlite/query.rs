//! Questions to the read model, as SQL.
//!
//! Pages are found by key, not by counting: a page starts after the last row of the one before, so rows that
//! come and go in between neither repeat nor hide others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params, params_from_iter};
use serde_json::value::RawValue;

use crate::{Error, Gap, HistoryQuery, Listing, PAGE_MAX, Past, Query, Row, Sort, Source, Stream};

const COLUMNS: &str =
    "kind, cluster_uid, key, cluster, incarnation, sequence, observed_at, received_at, skew_ms, value, id, version, facets";

/// Index of the first column after `COLUMNS`.
const SORT_FROM: usize = 13;

/// A condition and what stands for its question marks.
struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    fn of(query: &Query, but: Option<&str>) -> Filter {
        let mut filter = Filter { conditions: Vec::new(), values: Vec::new() };
        filter.add("kind = ?", [query.kind.clone().into()]);
        if !query.includes_deleted {
            filter.add("is_live = 1", []);
        }
        if let Some(clusters) = &query.clusters {
            filter.add("cluster IN (SELECT value FROM json_each(?))", [json(clusters)]);
        }
        if !query.key_prefix.is_empty() {
            filter.add("substr(key, 1, length(?)) = ?", [query.key_prefix.clone().into(), query.key_prefix.clone().into()]);
        }
        if !query.search.is_empty() {
            filter.add("instr(lower(key), lower(?)) > 0", [query.search.clone().into()]);
        }
        if let Some(version) = query.changed_after {
            filter.add("version > ?", [Value::Integer(i64::try_from(version).unwrap_or(i64::MAX))]);
        }
        for (name, values) in query.facets.iter().filter(|(name, _)| Some(name.as_str()) != but) {
            let condition = "id IN (SELECT latest FROM facet WHERE kind = ? AND name = ? AND value IN (SELECT value FROM json_each(?)))";
            filter.add(condition, [query.kind.clone().into(), name.clone().into(), json(values)]);
        }
        filter
    }

    fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        self.conditions.push(condition.to_string());
        self.values.extend(values);
    }

    fn sql(&self) -> String {
        self.conditions.join(" AND ")
    }
}

fn json(words: &[String]) -> Value {
    Value::Text(serde_json::to_string(words).expect("strings are JSON"))
}

pub(super) fn list(connection: &Connection, query: &Query) -> Result<Listing, Error> {
    let mut filter = Filter::of(query, None);
    // Rows, total and version are of one moment.
    let moment = connection.unchecked_transaction().map_err(unreadable)?;
    let sql = format!("SELECT count(*) FROM latest WHERE {}", filter.sql());
    let mut count = moment.prepare_cached(&sql).map_err(unreadable)?;
    let total = count.query_row(params_from_iter(&filter.values), |row| row.get(0)).map_err(unreadable)?;
    let version = version(&moment).map_err(unreadable)?;

    let columns = match &query.sort {
        Sort::Cluster => vec!["cluster".to_string(), "key".to_string()],
        Sort::Key => vec!["key".to_string()],
        Sort::ObservedAt => vec!["observed_at".to_string()],
        Sort::ReceivedAt => vec!["received_at".to_string()],
        Sort::Facet(name) => vec![format!("coalesce(json_extract(facets, {}), '')", path_literal(name))],
    };
    let sort = [columns, vec!["id".to_string()]].concat();
    let (comparison, direction) = if query.is_descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some(after) = &query.after {
        let marks = vec!["?"; sort.len()].join(", ");
        filter.conditions.push(format!("({}) {comparison} ({marks})", sort.join(", ")));
        filter.values.extend(parse_cursor(after, sort.len())?);
    }
    let limit = page(query.limit);
    let order: Vec<String> = sort.iter().map(|column| format!("{column} {direction}")).collect();
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM latest WHERE {} ORDER BY {} LIMIT {}",
        sort.join(", "),
        filter.sql(),
        order.join(", "),
        limit + 1
    );
    let mut statement = moment.prepare_cached(&sql).map_err(unreadable)?;
    let found = statement.query_map(params_from_iter(&filter.values), |row| {
        let at = (0..sort.len()).map(|index| row.get(SORT_FROM + index)).collect::<rusqlite::Result<Vec<Value>>>()?;
        Ok((row_of(row)?, format_cursor(at)))
    });
    let mut found: Vec<(Row, String)> = found.and_then(Iterator::collect).map_err(unreadable)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(_, cursor)| cursor.clone());
    Ok(Listing { rows: found.into_iter().map(|(row, _)| row).collect(), total, next, version })
}

pub(super) fn get(connection: &Connection, kind: &str, cluster_uid: &str, key: &str) -> rusqlite::Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} FROM latest WHERE kind = ? AND cluster_uid = ? AND key = ?");
    connection.prepare_cached(&sql)?.query_row([kind, cluster_uid, key], row_of).optional()
}

pub(super) fn count_by(connection: &Connection, query: &Query, facet: &str) -> rusqlite::Result<BTreeMap<String, u64>> {
    let filter = Filter::of(query, Some(facet));
    let sql = format!(
        "SELECT facet.value, count(*) FROM facet WHERE facet.kind = ? AND facet.name = ?
         AND facet.latest IN (SELECT id FROM latest WHERE {}) GROUP BY facet.value",
        filter.sql()
    );
    let values = [Value::from(query.kind.clone()), Value::from(facet.to_string())].into_iter().chain(filter.values);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(super) fn history(connection: &Connection, query: &HistoryQuery) -> rusqlite::Result<Vec<Past>> {
    let mut filter = Filter { conditions: Vec::new(), values: Vec::new() };
    filter.add("kind = ?", [query.kind.clone().into()]);
    if let Some(cluster_uid) = &query.cluster_uid {
        filter.add("cluster_uid = ?", [cluster_uid.clone().into()]);
    }
    if let Some(key) = &query.key {
        filter.add("key = ?", [key.clone().into()]);
    }
    if let Some(before) = query.before {
        filter.add("id < ?", [Value::Integer(i64::try_from(before).unwrap_or(i64::MAX))]);
    }
    let sql = format!(
        "SELECT kind, cluster_uid, key, cluster, incarnation, sequence, observed_at, received_at, skew_ms, value, id
         FROM history WHERE {} ORDER BY id DESC LIMIT {}",
        filter.sql(),
        page(query.limit)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let past = |row: &SqlRow<'_>| {
        Ok(Past {
            id: row.get(10)?,
            cluster: row.get(3)?,
            cluster_uid: row.get(1)?,
            key: row.get(2)?,
            value: value_of(row)?,
            source: source_of(row)?,
        })
    };
    statement.query_map(params_from_iter(filter.values), past)?.collect()
}

pub(super) fn acknowledged(connection: &Connection, cluster_uid: &str, incarnation: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT acknowledged FROM stream WHERE cluster_uid = ? AND incarnation = ?";
    Ok(connection.prepare_cached(sql)?.query_row([cluster_uid, incarnation], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn streams(connection: &Connection) -> rusqlite::Result<Vec<Stream>> {
    let sql = "SELECT cluster, cluster_uid, incarnation, acknowledged, first_received_at, last_received_at, skew_ms,
            ordinal = (SELECT max(ordinal) FROM stream AS s WHERE s.cluster_uid = stream.cluster_uid),
            (SELECT coalesce(sum(last - first + 1), 0) FROM gap
             WHERE gap.cluster_uid = stream.cluster_uid AND gap.incarnation = stream.incarnation),
            (SELECT coalesce(sum(last - first + 1), 0) FROM gap
             WHERE gap.cluster_uid = stream.cluster_uid AND gap.incarnation = stream.incarnation AND reason <> 'Superseded')
        FROM stream ORDER BY cluster, cluster_uid, ordinal";
    let stream = |row: &SqlRow<'_>| {
        Ok(Stream {
            cluster: row.get(0)?,
            cluster_uid: row.get(1)?,
            incarnation: row.get(2)?,
            acknowledged: row.get(3)?,
            first_received_at: time(row, 4)?,
            last_received_at: time(row, 5)?,
            skew_ms: row.get(6)?,
            is_newest: row.get(7)?,
            missing: row.get(8)?,
            lost: row.get(9)?,
        })
    };
    connection.prepare_cached(sql)?.query_map([], stream)?.collect()
}

pub(super) fn gaps(connection: &Connection, cluster_uid: &str) -> rusqlite::Result<Vec<Gap>> {
    let sql = "SELECT gap.incarnation, first, last, reason, received_at FROM gap LEFT JOIN stream USING (cluster_uid, incarnation)
        WHERE cluster_uid = ? ORDER BY ordinal, first";
    let gap = |row: &SqlRow<'_>| {
        Ok(Gap { incarnation: row.get(0)?, from: row.get(1)?, to: row.get(2)?, reason: row.get(3)?, received_at: time(row, 4)? })
    };
    connection.prepare_cached(sql)?.query_map(params![cluster_uid], gap)?.collect()
}

/// Returns the number of the last commit.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT value FROM meta WHERE name = 'version'")?.query_row([], |row| row.get(0))
}

fn page(limit: usize) -> usize {
    if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) }
}

fn row_of(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let facets: String = row.get(12)?;
    Ok(Row {
        kind: row.get(0)?,
        cluster_uid: row.get(1)?,
        key: row.get(2)?,
        cluster: row.get(3)?,
        value: value_of(row)?,
        facets: serde_json::from_str(&facets).unwrap_or_default(),
        source: source_of(row)?,
        version: row.get(11)?,
    })
}

/// Reads the columns that `latest` and `history` share.
fn source_of(row: &SqlRow<'_>) -> rusqlite::Result<Source> {
    Ok(Source {
        incarnation: row.get(4)?,
        sequence: row.get(5)?,
        observed_at: time(row, 6)?,
        received_at: time(row, 7)?,
        skew_ms: row.get(8)?,
    })
}

fn value_of(row: &SqlRow<'_>) -> rusqlite::Result<Option<Box<RawValue>>> {
    let text: Option<String> = row.get(9)?;
    text.map(RawValue::from_string).transpose().map_err(|error| invalid_column(9, error))
}

fn time(row: &SqlRow<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(index)?).map_err(|error| invalid_column(index, error))
}

fn invalid_column(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

/// Returns the SQL literal of the JSON path of a member.
fn path_literal(member: &str) -> String {
    let quoted = serde_json::to_string(member).expect("a string is JSON");
    format!("'$.{}'", quoted.replace('\'', "''"))
}

/// Writes where a page ends: the values it is sorted by, as a JSON array.
fn format_cursor(at: Vec<Value>) -> String {
    let words = at.into_iter().map(|value| match value {
        Value::Integer(number) => serde_json::Value::from(number),
        Value::Text(text) => serde_json::Value::from(text),
        Value::Null | Value::Real(_) | Value::Blob(_) => serde_json::Value::Null,
    });
    serde_json::Value::from_iter(words).to_string()
}

fn parse_cursor(cursor: &str, length: usize) -> Result<Vec<Value>, Error> {
    let parse = || {
        let words: Vec<serde_json::Value> = serde_json::from_str(cursor).ok()?;
        let values = words.into_iter().map(|word| match word {
            serde_json::Value::Number(number) => number.as_i64().map(Value::Integer),
            serde_json::Value::String(text) => Some(Value::Text(text)),
            _ => None,
        });
        values.collect::<Option<Vec<Value>>>().filter(|values| values.len() == length)
    };
    parse().ok_or_else(|| Error::Invalid(format!("the continuation {cursor:?} is not of this query; start again without it")))
}

pub(super) fn unreadable(error: rusqlite::Error) -> Error {
    Error::Unreadable(error.to_string())
}
