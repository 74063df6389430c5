//! GuardDuty findings in the envelope of EventBridge.

use super::{By, Kind};
use crate::log::Log;
use crate::template::Template;

struct Row {
    name: &'static str,
    weight: u32,
    finding: &'static str,
    severity: &'static str,
    title: &'static str,
    /// JSON.
    resource: &'static str,
    /// JSON.
    action: &'static str,
    archived: bool,
}

const INSTANCE: &str = r#"{"resourceType":"Instance","instanceDetails":{"instanceId":"${inst}","instanceType":"m7g.large","launchTime":"2026-10-02T06:12:44.000Z","platform":null,"productCodes":[],"iamInstanceProfile":{"arn":"arn:aws:iam::${acct}:instance-profile/${service}","id":"AIPA${roleid}"},"networkInterfaces":[{"networkInterfaceId":"${eni}","privateIpAddress":"${private}","privateDnsName":"","subnetId":"${subnet}","vpcId":"${vpc}","securityGroups":[{"groupName":"${service}","groupId":"sg-0a9b8c7d6e5f40312"}],"publicIp":"","publicDnsName":"","ipv6Addresses":[]}],"tags":[{"key":"service","value":"${service}"}],"instanceState":"running","availabilityZone":"eu-central-1a","imageId":"ami-0a1b2c3d4e5f60718"}}"#;
const ROLE_KEY: &str = r#"{"resourceType":"AccessKey","accessKeyDetails":{"accessKeyId":"ASIA${b:9}EXAMPLE","principalId":"AROA${roleid}:${inst}","userType":"AssumedRole","userName":"${service}"},"instanceDetails":{"instanceId":"${inst}","instanceType":"m7g.large"}}"#;
const BUCKET: &str = r#"{"resourceType":"S3Bucket","accessKeyDetails":{"accessKeyId":"ASIA${b:9}EXAMPLE","principalId":"AROA${roleid}:${mail}","userType":"AssumedRole","userName":"AWSReservedSSO_PowerUser_0a1b2c3d4e5f6a7b"},"s3BucketDetails":[{"arn":"arn:aws:s3:::${bucket}","name":"${bucket}","type":"Destination","createdAt":1751353200.0,"owner":{"id":"${h:64}"},"tags":[],"publicAccess":{"effectivePermission":"PUBLIC"}}]}"#;
const REMOTE: &str = r#""remoteIpDetails":{"ipAddressV4":"${ip}","organization":{"asn":"64500","asnOrg":"Example Hosting","isp":"Example Hosting","org":"Example Hosting"},"country":{"countryName":"Netherlands"},"city":{"cityName":"Amsterdam"},"geoLocation":{"lat":52.37,"lon":4.89}}"#;

const ROWS: &[Row] = &[
    Row {
        name: "gd.port_probe",
        weight: 6,
        finding: "Recon:EC2/PortProbeUnprotectedPort",
        severity: "2",
        title: "Unprotected port on EC2 instance ${inst} is being probed.",
        resource: INSTANCE,
        action: r#"{"actionType":"PORT_PROBE","portProbeAction":{"portProbeDetails":[{"localPortDetails":{"port":443,"portName":"HTTPS"},"localIpDetails":{"ipAddressV4":"${private}"},@}],"blocked":false}}"#,
        archived: false,
    },
    Row {
        name: "gd.odd_port",
        weight: 2,
        finding: "Behavior:EC2/NetworkPortUnusual",
        severity: "5",
        title: "EC2 instance ${inst} is communicating with a remote host on an unusual port.",
        resource: INSTANCE,
        action: r#"{"actionType":"NETWORK_CONNECTION","networkConnectionAction":{"connectionDirection":"OUTBOUND","protocol":"TCP","blocked":false,"localPortDetails":{"port":41874,"portName":"Unknown"},"remotePortDetails":{"port":9418,"portName":"Unknown"},@}}"#,
        archived: false,
    },
    Row {
        name: "gd.ssh_brute_force",
        weight: 2,
        finding: "UnauthorizedAccess:EC2/SSHBruteForce",
        severity: "2",
        title: "${ip} is performing SSH brute force attacks against ${inst}.",
        resource: INSTANCE,
        action: r#"{"actionType":"NETWORK_CONNECTION","networkConnectionAction":{"connectionDirection":"INBOUND","protocol":"TCP","blocked":false,"localPortDetails":{"port":22,"portName":"SSH"},"remotePortDetails":{"port":52144,"portName":"Unknown"},@}}"#,
        archived: false,
    },
    // stories and look-alikes
    Row {
        name: "gd.mining_archived",
        weight: 0,
        finding: "CryptoCurrency:EC2/BitcoinTool.B!DNS",
        severity: "8",
        title: "Bitcoin-related domain name queried by EC2 instance ${inst}.",
        resource: INSTANCE,
        action: r#"{"actionType":"DNS_REQUEST","dnsRequestAction":{"domain":"rates.exchange.example","protocol":"UDP","blocked":false}}"#,
        archived: true,
    },
    Row {
        name: "gd.public_bucket",
        weight: 0,
        finding: "Policy:S3/BucketAnonymousAccessGranted",
        severity: "8",
        title: "Amazon S3 bucket ${bucket} was granted public anonymous access.",
        resource: BUCKET,
        action: r#"{"actionType":"AWS_API_CALL","awsApiCallAction":{"api":"PutBucketPolicy","serviceName":"s3.amazonaws.com","callerType":"Remote IP",@,"affectedResources":{"AWS::S3::Bucket":"${bucket}"}}}"#,
        archived: false,
    },
    Row {
        name: "gd.credentials_stolen",
        weight: 0,
        finding: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
        severity: "8",
        title: "Credentials for instance role ${service} used from external IP address ${ip}.",
        resource: ROLE_KEY,
        action: r#"{"actionType":"AWS_API_CALL","awsApiCallAction":{"api":"GetCallerIdentity","serviceName":"sts.amazonaws.com","callerType":"Remote IP",@,"affectedResources":{}}}"#,
        archived: false,
    },
];

fn text(row: &Row) -> String {
    let action = row.action.replace('@', REMOTE);
    [
        r#"{"version":"0","id":"${req}","detail-type":"GuardDuty Finding","source":"aws.guardduty","account":"${acct}","time":"${t}","region":"eu-central-1","resources":[],"detail":{"schemaVersion":"2.0","accountId":"${acct}","region":"eu-central-1","partition":"aws","id":"${id32}","arn":"arn:aws:guardduty:eu-central-1:${acct}:detector/${detector}/finding/${id32}","type":""#,
        row.finding,
        r#"","resource":"#,
        row.resource,
        r#","service":{"serviceName":"guardduty","detectorId":"${detector}","action":"#,
        &action,
        r#","resourceRole":"TARGET","additionalInfo":{"value":"{}","type":"default"},"eventFirstSeen":"${tms}","eventLastSeen":"${tms}","archived":"#,
        if row.archived { "true" } else { "false" },
        r#","count":1},"severity":"#,
        row.severity,
        r#","createdAt":"${tms}","updatedAt":"${tms}","title":""#,
        row.title,
        r#"","description":""#,
        row.title,
        r#""}}"#,
    ]
    .concat()
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |row: &Row| Kind {
        name: row.name,
        log: Log::GuardDuty,
        by: By::Nobody,
        weight: row.weight,
        template: Template::new(&text(row)),
    };
    ROWS.iter().map(kind).collect()
}
