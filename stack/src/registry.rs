//! The schema registry as a local process.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::address::{Addresses, HOST};
use crate::compose::Service;
use crate::download::{Cache, MAVEN_HINT, maven, run};
use crate::error::{AtPath, Result, StackError};
use crate::home::{Home, fresh_directory};
use crate::java::class_archive;
use crate::launch::Launch;
use crate::record::Role;

/// The registry's image, without its tag.
pub(crate) const IMAGE: &str = "quay.io/apicurio/apicurio-registry";

/// Path of the API that Confluent's clients speak.
pub(crate) const CONFLUENT_API: &str = "/apis/ccompat/v7";

/// Fetches the registry from Maven Central unless it is in the cache.
pub(crate) async fn get(cache: &Cache, version: &str, progress: &impl Fn(&str)) -> Result<PathBuf> {
    let name = format!("apicurio-registry-{version}");
    let dir = cache.get(&name, async |dir| {
        progress(&format!(
            "fetching Apicurio Registry {version} from Maven Central (once a machine, 159 MB)"
        ));
        let mut copy = maven();
        copy.arg("dependency:copy")
            .arg(format!(
                "-Dartifact=io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
            ))
            .arg(format!("-DoutputDirectory={}", dir.display()));
        run(
            "fetching the registry from Maven Central",
            &mut copy,
            MAVEN_HINT,
        )
        .await?;
        let archive = dir.join(format!("apicurio-registry-app-{version}-all.tar.gz"));
        let mut unpack = Command::new("tar");
        unpack.arg("-xzf").arg(&archive).arg("-C").arg(dir);
        run("unpacking the registry", &mut unpack, "install tar").await?;
        std::fs::remove_file(&archive).at(&archive)
    });
    dir.await
}

/// What to start.
pub(crate) fn launch(
    distribution: &Path,
    home: &Home,
    java: &Path,
    name: &str,
    service: &Service,
    addresses: &Addresses,
) -> Result<Launch> {
    let dir = home.data(name);
    let tmp = dir.join("tmp");
    fresh_directory(&tmp)?;
    let mut environment = service.environment();
    let options = environment.remove("JAVA_OPTS_APPEND").unwrap_or_default();
    for (variable, value) in &mut environment {
        *value = match variable.as_str() {
            // Bare port numbers, which are no addresses to the rewriting.
            "QUARKUS_HTTP_PORT" | "QUARKUS_MANAGEMENT_PORT" => {
                let inside = value
                    .parse()
                    .map_err(|_| StackError::Compose(format!("{variable}: {value}")))?;
                addresses.port(name, inside)?.to_string()
            }
            _ => addresses.localise(name, value)?,
        };
    }
    let mut args: Vec<_> = options.split_whitespace().map(Into::into).collect();
    args.extend(class_archive(&distribution.join("classes.jsa"), true));
    args.extend([
        // As the image starts it, but for the host.
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager".into(),
        format!("-Dquarkus.http.host={HOST}").into(),
        format!("-Dquarkus.management.host={HOST}").into(),
        format!("-Djava.io.tmpdir={}", tmp.display()).into(),
        "-XX:-UsePerfData".into(),
        "-jar".into(),
        distribution.join("quarkus-run.jar").into(),
    ]);
    Ok(Launch {
        name: name.to_owned(),
        role: Role::Registry,
        program: java.to_owned(),
        args,
        env: environment
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
        directory: Some(dir),
        user: None,
        stop_signal: service.stop_signal.clone(),
        grace: service.stop_grace_period(),
    })
}
