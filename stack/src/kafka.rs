//! A Kafka broker as a local process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::address::Addresses;
use crate::broker_config::{log4j_properties, render, server_properties};
use crate::compose::Service;
use crate::download::{Cache, MAVEN_HINT, maven, run};
use crate::error::{AtPath, Result};
use crate::home::{Home, fresh_directory, write_whole};
use crate::java::class_archive;
use crate::launch::Launch;
use crate::record::Role;

/// The brokers' image, without its tag.
pub(crate) const IMAGE: &str = "apache/kafka";

/// The SLF4J binding for the Log4j that Kafka 4.3 brings; Kafka's tarball has
/// it, its Maven artifacts do not name it, and without one nothing is logged.
const LOG4J: &str = "2.25.4";

/// A Kafka of one version in the cache.
pub(crate) struct Distribution(PathBuf);

impl Distribution {
    /// Fetches Kafka from Maven Central unless it is in the cache.
    pub(crate) async fn get(
        cache: &Cache,
        version: &str,
        java: &Path,
        progress: &impl Fn(&str),
    ) -> Result<Self> {
        let name = format!("kafka-{version}");
        let dir = cache.get(&name, async |dir| {
            progress(&format!(
                "fetching Kafka {version} from Maven Central (once a machine, 126 MB)"
            ));
            fetch(dir, version).await?;
            let distribution = Self(dir.to_owned());
            distribution.make_bootstrap(java).await
        });
        dir.await.map(Self)
    }

    fn classpath(&self) -> Result<String> {
        let libs = self.0.join("libs");
        let mut jars: Vec<String> = std::fs::read_dir(&libs)
            .at(&libs)?
            .flatten()
            .map(|jar| jar.path().display().to_string())
            .filter(|jar| jar.ends_with(".jar"))
            .collect();
        jars.sort();
        Ok(jars.join(":"))
    }

    /// Formats a storage directory once, with Kafka's own tool, and keeps its
    /// `bootstrap.checkpoint`: the feature levels that a new cluster of this
    /// version begins with. They are the same for every cluster and node, so
    /// that later ones need not start a JVM each for it.
    async fn make_bootstrap(&self, java: &Path) -> Result<()> {
        let scratch = self.0.join("scratch");
        let properties = self.0.join("scratch.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n\
             controller.quorum.voters=1@localhost:9093\nlisteners=CONTROLLER://:9093,PLAINTEXT://:9092\n\
             log.dirs={}\n",
            scratch.display()
        );
        std::fs::write(&properties, text).at(&properties)?;
        let mut format = Command::new(java);
        format
            .args([
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                &self.classpath()?,
            ])
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                "AAAAAAAAAAAAAAAAAAAAAQ",
                "-c",
            ])
            .arg(&properties);
        run(
            "formatting Kafka's storage",
            &mut format,
            "Java was found, but does not start",
        )
        .await?;
        let checkpoint = scratch.join(CHECKPOINT);
        std::fs::copy(&checkpoint, self.0.join(CHECKPOINT)).at(&checkpoint)?;
        std::fs::remove_dir_all(&scratch).at(&scratch)?;
        std::fs::remove_file(&properties).at(&properties)
    }

    /// What to start for one broker.
    pub(crate) fn launch(
        &self,
        home: &Home,
        java: &Path,
        name: &str,
        service: &Service,
        addresses: &Addresses,
    ) -> Result<Launch> {
        let dir = home.data(name);
        let (log, tmp) = (dir.join("log"), dir.join("tmp"));
        fresh_directory(&tmp)?;
        std::fs::create_dir_all(&log).at(&log)?;
        let environment = service.environment();
        let properties = server_properties(name, &environment, addresses, &log)?;
        self.format(&log, service, &properties)?;
        let (server, log4j) = (dir.join("server.properties"), dir.join("log4j2.properties"));
        write_whole(&server, render(&properties).as_bytes())?;
        write_whole(&log4j, log4j_properties(&environment).as_bytes())?;

        let mut args: Vec<_> = [
            "KAFKA_HEAP_OPTS",
            "KAFKA_JVM_PERFORMANCE_OPTS",
            "KAFKA_OPTS",
        ]
        .iter()
        .filter_map(|variable| environment.get(*variable))
        .flat_map(|options| options.split_whitespace().map(Into::into))
        .collect();
        // One writer for the archive that all share.
        let first = properties.get("node.id").is_some_and(|id| id == "1");
        args.extend(class_archive(&self.0.join("classes.jsa"), first));
        args.extend([
            format!("-Djava.io.tmpdir={}", tmp.display()).into(),
            format!("-Dlog4j2.configurationFile={}", log4j.display()).into(),
            // No file in /tmp that a killed JVM would leave there.
            "-XX:-UsePerfData".into(),
            "-cp".into(),
            self.classpath()?.into(),
            "kafka.Kafka".into(),
            server.into(),
        ]);
        Ok(Launch {
            name: name.to_owned(),
            role: Role::Broker,
            program: java.to_owned(),
            args,
            env: Vec::new(),
            directory: Some(dir),
            user: None,
            stop_signal: service.stop_signal.clone(),
            grace: service.stop_grace_period(),
        })
    }

    /// Formats a broker's disk, unless it is.
    fn format(
        &self,
        log: &Path,
        service: &Service,
        properties: &BTreeMap<String, String>,
    ) -> Result<()> {
        let meta = log.join("meta.properties");
        if meta.is_file() {
            return Ok(());
        }
        let node = properties.get("node.id").map_or("", String::as_str);
        let content = format!(
            "version=1\ncluster.id={}\nnode.id={node}\n",
            service.variable("CLUSTER_ID")?
        );
        let checkpoint = self.0.join(CHECKPOINT);
        std::fs::copy(&checkpoint, log.join(CHECKPOINT)).at(&checkpoint)?;
        // Last: with it, the disk counts as formatted.
        write_whole(&meta, content.as_bytes())
    }
}

const CHECKPOINT: &str = "bootstrap.checkpoint";

async fn fetch(dir: &Path, version: &str) -> Result<()> {
    let pom = dir.join("pom.xml");
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let text = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>mypay</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", version),
        dependency("org.apache.kafka", "kafka-tools", version),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
    );
    std::fs::write(&pom, text).at(&pom)?;
    let mut command = maven();
    command
        .arg("-f")
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    command.arg(format!("-DoutputDirectory={}", dir.join("libs").display()));
    run(
        "fetching Kafka from Maven Central",
        &mut command,
        MAVEN_HINT,
    )
    .await
}
