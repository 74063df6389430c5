//! The rules that the stories are about, by file name and UUID. A test compares them with the files.

/// A rule of the project: file name without ending, and UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub name: &'static str,
    pub id: &'static str,
}

macro_rules! rules {
    ($($constant:ident = $name:literal, $id:literal;)*) => {
        $(pub(crate) const $constant: Rule = Rule { name: $name, id: $id };)*
        #[cfg(test)]
        pub(crate) const ALL: &[Rule] = &[$($constant),*];
    };
}

rules! {
    CLOUDTRAIL_TRAIL_STOPPED = "cloudtrail_trail_stopped", "7ce38f83-5ce7-43be-b989-7f100ad73da2";
    ACCESS_KEY_CREATED_FOR_OTHER_USER = "access_key_created_for_other_user", "1ed4df62-7994-4796-bab5-2a0830ed4739";
    LOGIN_PROFILE_CREATED_FOR_OTHER_USER = "login_profile_created_for_other_user", "b8eeb79f-2ba6-4ff7-b7ee-555c3d38e6db";
    CONSOLE_LOGIN_WITHOUT_MFA = "console_login_without_mfa", "362a326d-4e5c-4ddd-bab7-e5a07051a980";
    ADMIN_POLICY_ATTACHED = "admin_policy_attached", "e5390ccf-84d8-498e-90e9-79cdee062c20";
    S3_PUBLIC_ACCESS_BLOCK_REMOVED = "s3_public_access_block_removed", "2fab1201-a5dc-43d6-ba1a-6d35bce94830";
    S3_BUCKET_POLICY_PUBLIC = "s3_bucket_policy_public", "6a0e2984-8efc-4c8c-a43a-b3b08896e12b";
    SNAPSHOT_OR_IMAGE_SHARED_PUBLICLY = "snapshot_or_image_shared_publicly", "d478b309-b4f6-43ff-9ab9-bbff213801b6";
    GUARDDUTY_HIGH_SEVERITY_FINDING = "guardduty_high_severity_finding", "d710a1b6-c8b3-48b9-93a5-b17ccc513dc2";
    GUARDDUTY_INSTANCE_CREDENTIALS_STOLEN = "guardduty_instance_credentials_stolen", "35c12aa8-4bc7-42f1-ac42-e228b778a5de";
    SECURITY_GROUP_OPEN_TO_WORLD = "security_group_open_to_world", "9614fc05-2133-4f9d-9540-c1e4b29c210e";
    VPCFLOW_ADMIN_PORT_FROM_INTERNET = "vpcflow_admin_port_from_internet", "410725dc-a216-4389-9a43-9b4e80e01e2e";
    VPCFLOW_LARGE_UPLOAD_TO_UNUSUAL_PORT = "vpcflow_large_upload_to_unusual_port", "9f5521e3-1877-4e4c-9731-59b9a58f00c3";
    MFA_REMOVED_BY_OTHER_PERSON = "mfa_removed_by_other_person", "d9dc3c55-947c-4d69-88e1-ccf88c6a9174";
    SESSION_FROM_ANONYMIZING_PROXY = "session_from_anonymizing_proxy", "16e59486-2f35-45a1-b09a-6cc5bcd6581f";
    SUSPICIOUS_ACTIVITY_REPORTED = "suspicious_activity_reported", "a42938ce-4249-4ae3-8bf4-6ba7eb30de21";
    ADMIN_PRIVILEGE_GRANTED = "admin_privilege_granted", "7467819b-0f46-4f4a-8099-ce72dd2d5b67";
    API_TOKEN_CREATED = "api_token_created", "7380bde9-774d-432e-9bf7-8c2d91ab0334";
    BRANCH_PROTECTION_REMOVED = "branch_protection_removed", "afb76d94-c6c0-4f88-ab55-d1a8b3e5e1e4";
    DEPLOY_KEY_ADDED = "deploy_key_added", "467a86dd-a840-41ca-9bfc-a96b3a93fa55";
    SECRET_SCANNING_DISABLED = "secret_scanning_disabled", "9a8ac9e2-2206-4c2b-abf1-291ecb0bc746";
    REPOSITORY_MADE_PUBLIC = "repository_made_public", "6a75fd02-1e2a-4975-93c9-c4b3e6c90eaa";
    PERSONAL_ACCESS_TOKEN_GRANTED = "personal_access_token_granted", "cdcc7734-cefc-47a3-89aa-5194869a4ab2";
    SECRETS_LISTED_CLUSTER_WIDE = "secrets_listed_cluster_wide", "f782e914-bf95-42fb-a041-715ce0541313";
    CLUSTER_ADMIN_BOUND = "cluster_admin_bound", "3bd627a4-7b07-441a-9476-b72d9e996581";
    PRIVILEGED_POD_CREATED = "privileged_pod_created", "136b3dc1-9ce0-4c7c-b8f3-eeb736d51196";
    SENSITIVE_HOST_PATH_MOUNTED = "sensitive_host_path_mounted", "542e8a69-e667-4102-b9e8-d70cca668a87";
    ROLE_TRUST_OPENED_TO_OTHER_ACCOUNT = "role_trust_opened_to_other_account", "397cbf91-1c37-41f5-b6bf-b7404c735b5d";
    ANONYMOUS_REQUEST_ALLOWED = "anonymous_request_allowed", "94900abe-aefc-44f1-8c73-1e171ecefa2a";
    EXEC_INTO_POD = "exec_into_pod", "8097262c-d9f6-4ea4-8959-dcdfb6f0f66f";
}
