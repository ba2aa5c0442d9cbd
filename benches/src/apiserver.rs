//! The API server over TLS: what a client gets, and what it costs in memory.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;

use crate::child::{NAMESPACE, Server};

const OBJECTS: usize = 54_000;
const CONNECTIONS: usize = 64;
/// Compiled in, so that the program runs from anywhere.
const SCRIPT: &str = include_str!("create.lua");

pub async fn run(directory: &Path) -> anyhow::Result<()> {
    pki::tls::install_provider();
    let script = directory.join("create.lua");
    std::fs::write(&script, SCRIPT)?;
    println!("ConfigMaps with 1,024 bytes of data, created over TLS by a service account with a Role; wrk on the same machine");

    let server = Server::start(&directory.join("memory")).await?;
    server.settle().await;
    let idle = server.rss_kib();
    println!("idle rss: {:.1} MB", mb(idle));
    fill(&server).await?;
    let full = server.rss_kib();
    server.settle().await;
    let settled = server.rss_kib();
    println!(
        "rss with {OBJECTS} objects: {:.1} MB after the last write, {:.1} MB some seconds later, {:.0} bytes per object",
        mb(full),
        mb(settled),
        (settled - idle) as f64 * 1024.0 / OBJECTS as f64
    );
    drop(server);

    let server = Server::start(&directory.join("rate")).await?;
    drive(&server, &script, "warm", CONNECTIONS, 2).await?;
    let before = server.cpu_time();
    let many = drive(&server, &script, "many", CONNECTIONS, 10).await?;
    let cpu = server.cpu_time() - before;
    println!("creates, {CONNECTIONS} connections: {many}");
    println!("server cpu per create: {:.1} us", cpu.as_secs_f64() * 1e6 / many.requests as f64);
    println!("rss after {} more objects: {:.1} MB", many.requests, mb(server.rss_kib()));
    drop(server);

    let server = Server::start(&directory.join("one")).await?;
    drive(&server, &script, "warm", 1, 1).await?;
    println!("creates, one connection: {}", drive(&server, &script, "one", 1, 5).await?);
    Ok(())
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// What wrk saw.
struct Driven {
    requests: u64,
    elapsed: Duration,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl std::fmt::Display for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |latency: Duration| latency.as_secs_f64() * 1e3;
        let rate = self.requests as f64 / self.elapsed.as_secs_f64();
        write!(f, "{rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", ms(self.p50), ms(self.p99), ms(self.max))
    }
}

/// Lets wrk create objects on so many connections for so many seconds.
async fn drive(server: &Server, script: &Path, prefix: &str, connections: usize, seconds: u32) -> anyhow::Result<Driven> {
    let config = serde_json::to_value(server.kubeconfig()?)?;
    let token = config["users"][0]["user"]["token"].as_str().context("the kubeconfig has a token")?;
    let url = config["clusters"][0]["cluster"]["server"].as_str().context("the kubeconfig has a server")?;
    let output = tokio::process::Command::new("wrk")
        .args(["-t1", "--timeout", "10s"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg("-s")
        .arg(script)
        .args([url, "--", token, prefix])
        .output()
        .await
        .context("wrk is needed: apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.with_context(|| format!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, elapsed, failed, p50, p99, max] = numbers[..] else { anyhow::bail!("unexpected result {line:?}") };
    anyhow::ensure!(failed == 0, "{failed} requests failed: {text}");
    let us = Duration::from_micros;
    Ok(Driven { requests, elapsed: us(elapsed), p50: us(p50), p99: us(p99), max: us(max) })
}

/// Creates exactly as many objects as the figure names.
async fn fill(server: &Server) -> anyhow::Result<()> {
    let client = server.client().await?;
    let value = "x".repeat(1024);
    let creates = (0..OBJECTS).map(|number| {
        let (client, value) = (client.clone(), &value);
        async move {
            let object =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("fill-{number}")}, "data": {"value": value}});
            let request = http::Request::post(format!("/api/v1/namespaces/{NAMESPACE}/configmaps"))
                .header("content-type", "application/json")
                .body(object.to_string().into_bytes())?;
            client.request_text(request).await?;
            anyhow::Ok(())
        }
    });
    stream::iter(creates).buffer_unordered(CONNECTIONS).try_collect().await
}
