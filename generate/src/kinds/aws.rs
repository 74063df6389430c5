//! CloudTrail events.

mod ordinary;
mod told;

use super::{By, Kind};
use crate::log::Log;
use crate::template::Template;

/// What an API call does; decides a handful of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Read,
    Write,
    /// A data event: reads an object.
    ReadData,
    WriteData,
    SignIn,
}
use Does::{Read, ReadData, SignIn, WriteData};

struct Row {
    name: &'static str,
    weight: u32,
    by: By,
    does: Does,
    /// `ec2`
    service: &'static str,
    event: &'static str,
    /// JSON.
    request: &'static str,
    /// JSON.
    response: &'static str,
    /// Members between the answer and the request's identity, each with a comma behind.
    more: &'static str,
    /// Code and message.
    error: Option<(&'static str, &'static str)>,
}

const fn row(
    name: &'static str,
    weight: u32,
    by: By,
    does: Does,
    service: &'static str,
    event: &'static str,
    request: &'static str,
) -> Row {
    Row { name, weight, by, does, service, event, request, response: "null", more: "", error: None }
}

const fn answer(response: &'static str, row: Row) -> Row {
    Row { response, ..row }
}

const fn more(more: &'static str, row: Row) -> Row {
    Row { more, ..row }
}

const fn fails(code: &'static str, message: &'static str, row: Row) -> Row {
    Row { error: Some((code, message)), ..row }
}

const BUCKET: &str = r#""resources":[{"accountId":"${acct}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::${bucket}"}],"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":${n:0:900},"AuthenticationMethod":"AuthHeader","x-amz-id-2":"${b:43}=","bytesTransferredOut":${n:200:90000}},"#;
const OBJECT: &str = r#""resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::${bucket}/2026/11/${same:12}.parquet"},{"accountId":"${acct}","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::${bucket}"}],"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":${n:0:90000},"SSEApplied":"SSE_KMS","AuthenticationMethod":"AuthHeader","x-amz-id-2":"${b:43}=","bytesTransferredOut":${n:0:900000}},"#;
const OBJECT_KEY: &str = r#"{"bucketName":"${bucket}","Host":"${bucket}.s3.eu-central-1.amazonaws.com","key":"2026/11/${same:12}.parquet"}"#;
const KEY: &str = r#""resources":[{"accountId":"${acct}","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:${acct}:key/${key}"}],"#;
const DONE: &str = r#"{"requestId":"${req}","_return":true}"#;
const ROLE_NAME: &str = r#"{"roleName":"${service}"}"#;
const SESSION: &str = r#"{"credentials":{"accessKeyId":"ASIA${b:9}EXAMPLE","sessionToken":"${b:120}","expiration":"${aws:1}"},"assumedRoleUser":{"assumedRoleId":"AROA${roleid}:${inst}","arn":"arn:aws:sts::${acct}:assumed-role/${service}/${inst}"}}"#;
const LOGIN: &str = r#""additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"},"#;
const BACKUP: By = By::KeyOf("svc-backup");

fn text(row: &Row) -> String {
    let error = match row.error {
        Some((code, message)) => {
            format!(r#""errorCode":"{code}","errorMessage":"{message}","#)
        }
        None => String::new(),
    };
    let region = match row.service {
        "iam" | "signin" | "organizations" => "us-east-1",
        _ => crate::company::REGION,
    };
    let read = matches!(row.does, Read | ReadData);
    let data = matches!(row.does, ReadData | WriteData);
    let host = match row.service {
        "iam" | "organizations" => format!("{}.amazonaws.com", row.service),
        "signin" => "signin.aws.amazon.com".to_owned(),
        service => format!("{service}.{region}.amazonaws.com"),
    };
    // services that call by themselves use no TLS that the trail would tell of
    let tls = match row.by {
        By::AwsService(_) | By::ConfigRole => String::new(),
        _ => format!(
            r#","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{host}"}}"#
        ),
    };
    let event_type = if row.does == SignIn { "AwsConsoleSignIn" } else { "AwsApiCall" };
    [
        r#"{"eventVersion":"1.11","userIdentity":${identity},"eventTime":"${t}","eventSource":""#,
        row.service,
        r#".amazonaws.com","eventName":""#,
        row.event,
        r#"","awsRegion":""#,
        region,
        r#"","sourceIPAddress":"${ip}","userAgent":"${ua}","#,
        &error,
        r#""requestParameters":"#,
        row.request,
        r#","responseElements":"#,
        row.response,
        ",",
        row.more,
        r#""requestID":"${req}","eventID":"${uuid}","readOnly":"#,
        if read { "true" } else { "false" },
        r#","eventType":""#,
        event_type,
        r#"","managementEvent":"#,
        if data { "false" } else { "true" },
        r#","recipientAccountId":"${acct}","eventCategory":""#,
        if data { "Data" } else { "Management" },
        r#"""#,
        &tls,
        "}",
    ]
    .concat()
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |row: &Row| Kind {
        name: row.name,
        log: Log::CloudTrail,
        by: row.by,
        weight: row.weight,
        template: Template::new(&text(row)),
    };
    ordinary::ORDINARY.iter().chain(told::TOLD).map(kind).collect()
}
