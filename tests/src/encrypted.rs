//! Servers that speak to nobody in the clear, nor to whom they do not know: a broker of
//! its own (`SASL_SSL`), a database in the stack's PostgreSQL, the registry behind TLS.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::wait::{blocking, eventually};
use crate::world::World;

/// Who may come in.
const USER: &str = "mypay";
const PASSWORD: &str = "not a secret = really";
const DATABASE: &str = "encrypted";
/// A certificate that none of them has, beside theirs.
pub const ANOTHER: &str = "another.pem";
const START: Duration = Duration::from_secs(60);

/// What is encrypted, and what a client needs for it.
pub struct Encrypted {
    /// The certificate of all of them, which nobody has signed but itself.
    pub authority: PathBuf,
    /// The broker.
    pub bootstrap: String,
    /// PostgreSQL: the URL names the certificate.
    pub database_url: String,
    /// The registry.
    pub registry_url: String,
    directory: PathBuf,
    /// Of the database as it is for everybody else.
    pool: PgPool,
    proxy: tokio::process::Child,
}

impl Encrypted {
    /// Starts all of it beside a world's stack.
    pub async fn begin(world: &World) -> anyhow::Result<Self> {
        let directory = world.stack.home().join("encrypted");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let authority = directory.join("authority.pem");
        std::fs::write(&authority, &certificate)?;
        let another = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        std::fs::write(directory.join(ANOTHER), another.cert.pem())?;
        let both = directory.join("server.pem");
        std::fs::write(&both, format!("{key}{certificate}"))?;
        let bootstrap = broker(world, &directory, &both).await?;
        let (proxy, registry_url) = registry(world, &both).await?;
        encrypt_postgres(&world.pool, &certificate, &key).await?;
        let url = world.endpoints.database_url.rsplit_once('/');
        let (server, _) = url.context("the database's URL")?;
        let database_url = format!(
            "{server}/{DATABASE}?sslmode=verify-full&sslrootcert={}",
            authority.display()
        );
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {DATABASE}")))
            .execute(&world.pool)
            .await?;
        let encrypted = Self {
            authority,
            bootstrap,
            database_url,
            registry_url,
            directory,
            pool: world.pool.clone(),
            proxy,
        };
        encrypted
            .make_topics(&world.endpoints.kafka_bootstrap)
            .await?;
        Ok(encrypted)
    }

    /// A file of properties, with this password.
    pub fn properties(&self, password: &str) -> anyhow::Result<PathBuf> {
        let lines = self.security(password);
        let text: String = lines
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect();
        let path = self
            .directory
            .join(format!("{}.properties", password.len()));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The password that is right.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    fn security(&self, password: &str) -> [(&'static str, String); 5] {
        [
            ("security.protocol", "SASL_SSL".to_owned()),
            ("ssl.ca.location", self.authority.display().to_string()),
            ("sasl.mechanism", "PLAIN".to_owned()),
            ("sasl.username", USER.to_owned()),
            ("sasl.password", password.to_owned()),
        ]
    }

    /// A client of the broker that is let in.
    pub fn client(&self) -> ClientConfig {
        let mut config = mypay_kafka::client(&self.bootstrap);
        for (key, value) in self.security(PASSWORD) {
            config.set(key, value);
        }
        config
    }

    /// The topics of the other cluster, each with one partition on this one broker.
    async fn make_topics(&self, like: &str) -> anyhow::Result<()> {
        let other: BaseConsumer = mypay_kafka::client(like).create()?;
        let metadata = blocking(|| other.fetch_metadata(None, Duration::from_secs(10)))?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        let topics: Vec<NewTopic<'_>> = names
            .filter(|name| name.starts_with("my."))
            .map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1)))
            .collect();
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        eventually("the encrypted broker", START, async || {
            let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
            let made = admin.create_topics(&topics, &options).await;
            Ok(made
                .ok()
                .filter(|made| !made.is_empty() && made.iter().all(Result::is_ok)))
        })
        .await?;
        Ok(())
    }

    /// Of the sessions in the database, how many there are and how many are encrypted.
    pub async fn sessions(&self) -> anyhow::Result<(i64, i64)> {
        Ok(sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE s.ssl)
               FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.datname = $1",
        )
        .bind(DATABASE)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Leaves the stack as it was.
    pub async fn end(mut self, world: &World) -> anyhow::Result<()> {
        self.proxy.kill().await?;
        world.stack.stop(BROKER, Duration::from_secs(30)).await?;
        let drop = format!("DROP DATABASE {DATABASE} WITH (FORCE)");
        sqlx::query(sqlx::AssertSqlSafe(drop))
            .execute(&self.pool)
            .await?;
        for statement in [
            "ALTER SYSTEM RESET ssl",
            "ALTER SYSTEM RESET ssl_cert_file",
            "ALTER SYSTEM RESET ssl_key_file",
            "SELECT pg_reload_conf()",
        ] {
            sqlx::query(statement).execute(&self.pool).await?;
        }
        Ok(std::fs::remove_dir_all(&self.directory)?)
    }
}

/// The name of the broker's process.
const BROKER: &str = "encrypted-kafka";

/// A port that is free now.
async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.port())
}

/// Starts one more broker, by the Java and the Kafka of the stack's first one.
async fn broker(world: &World, directory: &Path, key: &Path) -> anyhow::Result<String> {
    let (controller, inside, outside) =
        (free_port().await?, free_port().await?, free_port().await?);
    let log = directory.join("log");
    std::fs::create_dir_all(&log)?;
    // A disk as the stack formats it.
    const CHECKPOINT: &str = "bootstrap.checkpoint";
    let formatted = world.stack.home().join("data/kafka-1/log").join(CHECKPOINT);
    std::fs::copy(&formatted, log.join(CHECKPOINT))
        .with_context(|| formatted.display().to_string())?;
    let meta = "version=1\ncluster.id=ZW5jcnlwdGVkLWNsdXN0ZX\nnode.id=1\n";
    std::fs::write(log.join("meta.properties"), meta)?;
    let properties = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=CONTROLLER://127.0.0.1:{controller},INSIDE://127.0.0.1:{inside},\
         OUTSIDE://127.0.0.1:{outside}\n\
         advertised.listeners=INSIDE://127.0.0.1:{inside},OUTSIDE://127.0.0.1:{outside}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT,OUTSIDE:SASL_SSL\n\
         inter.broker.listener.name=INSIDE\n\
         listener.name.outside.ssl.keystore.type=PEM\n\
         listener.name.outside.ssl.keystore.location={}\n\
         listener.name.outside.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.outside.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         min.insync.replicas=1\n\
         auto.create.topics.enable=false\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n",
        key.display(),
        log.display(),
    );
    let path = directory.join("server.properties");
    std::fs::write(&path, properties)?;
    let status = world.stack.status().await?;
    let first = status.into_iter().find(|service| service.name == "kafka-1");
    let pid = first.and_then(|first| first.pid).context("kafka-1")?;
    let java = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let line = String::from_utf8(line)?;
    let mut words = line.split('\0').skip_while(|word| *word != "-cp").skip(1);
    let classes = words.next().context("the broker's class path")?;
    let args = [
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        classes,
        "kafka.Kafka",
    ];
    let args = args.map(AsRef::<std::ffi::OsStr>::as_ref);
    let args = args.into_iter().chain([path.as_os_str()]);
    world
        .stack
        .spawn(BROKER, &java, args, std::iter::empty::<(&str, &str)>())?;
    Ok(format!("127.0.0.1:{outside}"))
}

/// What goes between a client that speaks TLS and a server that does not.
const PROXY: &str = r#"
import asyncio, ssl, sys
key, port, to_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(reader, writer):
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", to_port)
    await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key)
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    await server.serve_forever()
asyncio.run(main())
"#;

async fn registry(world: &World, key: &Path) -> anyhow::Result<(tokio::process::Child, String)> {
    let plain = reqwest::Url::parse(&world.endpoints.registry_url)?;
    let to = plain.port().context("the registry's port")?;
    let port = free_port().await?;
    let proxy = tokio::process::Command::new("python3")
        .args(["-c", PROXY])
        .arg(key)
        .args([port.to_string(), to.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("python3")?;
    eventually("the registry's proxy", START, async || {
        Ok(tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok())
    })
    .await?;
    Ok((proxy, format!("https://127.0.0.1:{port}{}", plain.path())))
}

/// From now on who asks PostgreSQL for encryption gets it; the others need not.
async fn encrypt_postgres(pool: &PgPool, certificate: &str, key: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    let data: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(pool)
        .await?;
    let data = Path::new(&data);
    let owner = std::fs::metadata(data)?;
    for (name, text) in [("encrypted.crt", certificate), ("encrypted.key", key)] {
        let path = data.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(owner.uid()), Some(owner.gid()))?;
    }
    for statement in [
        "ALTER SYSTEM SET ssl_cert_file = 'encrypted.crt'",
        "ALTER SYSTEM SET ssl_key_file = 'encrypted.key'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(statement).execute(pool).await?;
    }
    eventually("PostgreSQL's encryption", START, async || {
        let on: String = sqlx::query_scalar("SHOW ssl").fetch_one(pool).await?;
        ensure!(["on", "off"].contains(&&*on), "ssl is {on}");
        Ok((on == "on").then_some(()))
    })
    .await?;
    Ok(())
}
