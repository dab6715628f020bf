//! The hosts that pre-signed URLs may point to.

use url::{Host, Url};

/// S3's domains: in all regions but those of China, and in those of China (Amazon S3 User Guide,
/// "Amazon S3 endpoints and quotas").
const AWS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];
/// HTTPS.
const HTTPS_PORT: u16 = 443;

/// Hosts that are allowed, each with its subdomains.
///
/// Below `amazonaws.com` and `amazonaws.com.cn`, anyone can have a host of almost every kind: a
/// machine, a load balancer, an API. So of those only S3's own are allowed, whatever is listed.
///
/// ```
/// use moondrop_shared::job::SignedUrlHosts;
///
/// let hosts = SignedUrlHosts::parse("amazonaws.com, clavata.ai").unwrap();
/// let allows = |url: &str| hosts.allow(&url.parse().unwrap());
/// assert!(allows("https://uploads.s3.eu-central-1.amazonaws.com/in.csv?X-Amz-Signature=s"));
/// assert!(!allows("https://mine.execute-api.eu-central-1.amazonaws.com/in.csv"));
/// assert!(SignedUrlHosts::parse("co.uk").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUrlHosts(Vec<String>);

impl SignedUrlHosts {
    /// Reads names of hosts with commas between them.
    ///
    /// # Errors
    /// What is wrong with the first invalid one: it is no host's name, has one label, or is a public
    /// suffix, below which anyone can register a name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let hosts: Vec<String> = names.map(read).collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err("names no host".to_owned());
        }
        Ok(SignedUrlHosts(hosts))
    }

    /// Whether URLs to a host are allowed; it is written as in a URL, with its port if that is not
    /// the usual one.
    #[must_use]
    pub fn allow_host(&self, host: &str) -> bool {
        Url::parse(&format!("https://{host}/")).is_ok_and(|url| self.allow(&url))
    }

    /// Whether an https URL points to an allowed host.
    #[must_use]
    pub fn allow(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host = host.trim_end_matches('.').to_lowercase();
        let is_listed = self.0.iter().any(|listed| is_or_is_below(&host, listed));
        is_listed && url.scheme() == "https" && is_s3_if_aws(&host, url.port_or_known_default())
    }
}

/// A host of the list, in the form that URLs have it in: lower case, and in ASCII.
fn read(name: &str) -> Result<String, String> {
    let name = name.trim_matches('.');
    if name.contains('*') {
        return Err(
            "has a host with `*`: write the name alone, since its subdomains are meant as well"
                .to_owned(),
        );
    }
    let invalid = || {
        format!(
            "has `{name}`, which is not the name of a host: write it without scheme, port and path"
        )
    };
    let host = match Host::parse(name) {
        Ok(Host::Domain(host)) => host,
        Ok(Host::Ipv4(address)) => return Ok(address.to_string()),
        Ok(Host::Ipv6(_)) | Err(_) => return Err(invalid()),
    };
    let is_plain = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !host.split('.').all(is_plain) {
        return Err(invalid());
    }
    if !host.contains('.') {
        return Err(format!("has `{name}`, which would allow every host below it: name a domain"));
    }
    let is_suffix = psl::suffix(host.as_bytes()).is_some_and(|suffix| {
        suffix.as_bytes() == host.as_bytes() && suffix.typ() == Some(psl::Type::Icann)
    });
    if is_suffix {
        return Err(format!(
            "has `{name}`, a public suffix, below which anyone can register a name: name a domain"
        ));
    }
    if !AWS.contains(&host.as_str())
        && !is_s3_if_aws(&host, Some(HTTPS_PORT))
        && !is_s3_domain(&host)
    {
        return Err(format!(
            "has `{name}`, a host of AWS that is not S3's: of those only S3's are contacted"
        ));
    }
    Ok(host)
}

/// Whether hosts of S3 are below a name of AWS's, such as `us-east-1.amazonaws.com`.
fn is_s3_domain(name: &str) -> bool {
    is_s3_if_aws(&format!("s3.{name}"), Some(HTTPS_PORT))
        || is_s3_if_aws(&format!("bucket.{name}"), Some(HTTPS_PORT))
}

/// Whether a host is one of AWS's, of which only S3's on its usual port are contacted.
#[must_use]
pub fn is_aws(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    AWS.iter().any(|domain| is_or_is_below(name, domain))
}

fn is_or_is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a host is none of AWS's, or is S3 on its usual port.
fn is_s3_if_aws(host: &str, port: Option<u16>) -> bool {
    let Some(domain) = AWS.iter().find(|domain| is_or_is_below(host, domain)) else { return true };
    let below = host.strip_suffix(domain).unwrap_or_default().trim_end_matches('.');
    let labels: Vec<&str> = below.split('.').rev().collect();
    port == Some(HTTPS_PORT) && is_s3(&labels)
}

/// Whether labels, from the right, are those of S3, with or without a bucket's name before them:
/// `s3.<region>`, `s3.dualstack.<region>`, `s3-fips.<region>`, `s3-fips.dualstack.<region>`, `s3`,
/// `s3-<region>`, `s3-external-1`, `s3-accelerate` and `s3-accelerate.dualstack` (Amazon S3 User
/// Guide, "Virtual hosting of general purpose buckets", "Using dual-stack endpoints", "Configuring
/// fast, secure file transfers using Amazon S3 Transfer Acceleration").
fn is_s3(labels: &[&str]) -> bool {
    let regional = |name: &str| matches!(name, "s3" | "s3-fips");
    let bucket = match labels {
        [region, "dualstack", name, bucket @ ..] if is_region(region) && regional(name) => bucket,
        [region, name, bucket @ ..] if is_region(region) && regional(name) => bucket,
        // Accelerated requests name their bucket in the host.
        ["dualstack", "s3-accelerate", bucket @ ..] | ["s3-accelerate", bucket @ ..]
            if !bucket.is_empty() =>
        {
            bucket
        }
        ["s3" | "s3-external-1", bucket @ ..] => bucket,
        [older, bucket @ ..] if older.strip_prefix("s3-").is_some_and(is_region) => bucket,
        _ => return false,
    };
    bucket.iter().all(|label| !label.is_empty())
}

/// Whether a label is a region's code, such as `us-east-1` or `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let [area, middle @ .., number] = parts.as_slice() else { return false };
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    area.len() == 2
        && letters(area)
        && !middle.is_empty()
        && middle.iter().all(|part| letters(part))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, url: &str) -> bool {
        SignedUrlHosts::parse(list).unwrap().allow(&Url::parse(url).unwrap())
    }

    #[test]
    fn every_form_of_s3s_hosts_is_allowed() {
        for host in [
            "s3.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "s3-eu-west-1.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "s3.dualstack.us-gov-west-1.amazonaws.com",
            "s3-fips.us-east-2.amazonaws.com",
            "s3-fips.dualstack.us-east-2.amazonaws.com",
            "bucket.s3.amazonaws.com",
            "my.bucket.s3.ap-southeast-2.amazonaws.com",
            "bucket.s3-us-west-2.amazonaws.com",
            "bucket.s3.dualstack.eu-central-1.amazonaws.com",
            "bucket.s3-accelerate.amazonaws.com",
            "bucket.s3-accelerate.dualstack.amazonaws.com",
            "BUCKET.S3.US-EAST-1.AMAZONAWS.COM",
            "bucket.s3.us-east-1.amazonaws.com:443",
            "bucket.s3.cn-north-1.amazonaws.com.cn",
            "s3.cn-northwest-1.amazonaws.com.cn",
        ] {
            let list = "amazonaws.com,amazonaws.com.cn";
            assert!(allows(list, &format!("https://{host}/key?X-Amz-Signature=s")), "{host}");
        }
    }

    #[test]
    fn no_other_host_of_aws_is_allowed_whatever_is_listed() {
        for host in [
            "amazonaws.com",
            "abc.execute-api.us-east-1.amazonaws.com",
            "ec2-1-2-3-4.compute-1.amazonaws.com",
            "mine.elb.us-east-1.amazonaws.com",
            "bucket.s3-website-us-east-1.amazonaws.com",
            "bucket.s3-website.eu-central-1.amazonaws.com",
            "x.s3-accesspoint.us-east-1.amazonaws.com",
            "bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com",
            "s3.abc.execute-api.us-east-1.amazonaws.com",
            "s3-accelerate.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com:8443",
            "sqs.us-east-1.amazonaws.com",
            "sqs.cn-north-1.amazonaws.com.cn",
        ] {
            let list = "amazonaws.com,amazonaws.com.cn";
            assert!(!allows(list, &format!("https://{host}/key")), "{host}");
        }
    }

    #[test]
    fn a_listed_host_is_allowed_with_its_subdomains_and_by_https_only() {
        for url in ["https://clavata.ai/", "https://a.b.CLAVATA.ai:8443/", "https://clavata.ai./"] {
            assert!(allows("clavata.ai", url), "{url}");
        }
        for url in ["http://clavata.ai/", "https://evilclavata.ai/", "https://clavata.ai.evil.org/"]
        {
            assert!(!allows("clavata.ai", url), "{url}");
        }
        assert!(
            !allows("clavata.ai", "https://b.s3.amazonaws.com/"),
            "S3 is allowed if it is listed"
        );
        assert!(allows("bücher.example.org", "https://xn--bcher-kva.example.org/"));
    }

    #[test]
    fn a_name_below_which_anyone_can_have_a_host_is_refused() {
        for (list, why) in [
            ("com", "every host below it"),
            ("localhost", "every host below it"),
            ("amazonaws.com,co.uk", "public suffix"),
            ("com.cn", "public suffix"),
            (".co.uk.", "public suffix"),
            ("*.clavata.ai", "`*`"),
            ("https://clavata.ai", "without scheme"),
            ("clavata.ai:443", "without scheme"),
            ("clavata.ai/path", "without scheme"),
            ("two words.org", "without scheme"),
            (" , ", "names no host"),
            ("execute-api.us-east-1.amazonaws.com", "not S3's"),
            ("ap.s3-accesspoint.us-east-1.amazonaws.com", "not S3's"),
        ] {
            let error = SignedUrlHosts::parse(list).unwrap_err();
            assert!(error.contains(why), "{list}: {error}");
        }
        for list in [
            "clavata.ai",
            "uploads.example.co.uk",
            "10.0.0.1",
            "a_b.example.org",
            "amazonaws.com.cn",
            "us-east-1.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com",
            "s3-accelerate.amazonaws.com",
        ] {
            assert!(SignedUrlHosts::parse(list).is_ok(), "{list}");
        }
    }
}
