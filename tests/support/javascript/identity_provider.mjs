// A certified OpenID Connect provider with users and clients of the tests; settings are one JSON document in argv.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { modules, port, keys, redirectUri, signedOutUri } = JSON.parse(process.argv[2]);
const entry = createRequire(`${modules}/`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(entry).href);

const GROUPS = { alice: ["ml-team", "other"], bob: ["sales"], thin: ["ml-team"] };
const code = { grant_types: ["authorization_code"], response_types: ["code"], redirect_uris: [redirectUri], post_logout_redirect_uris: [signedOutUri] };
const service = { grant_types: ["client_credentials"], response_types: [], redirect_uris: [] };
const device = {
  grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
  response_types: [],
  redirect_uris: [],
  token_endpoint_auth_method: "none",
  application_type: "native",
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  cookies: { keys: ["the-cookies-of-tests"] },
  clients: [
    { client_id: "stepwell", client_secret: "secret of tests: %&+", ...code },
    { client_id: "public", token_endpoint_auth_method: "none", ...code },
    { client_id: "other", client_secret: "other", ...code },
    { client_id: "cli", ...device },
    { client_id: "jobs", client_secret: "jobs", ...service },
  ],
  scopes: ["openid", "profile", "groups", "offline_access"],
  claims: { profile: ["preferred_username"], groups: ["groups"] },
  // As many providers do: what the scopes name is in the ID token. `thin` gets it from the userinfo endpoint alone.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: {
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => [],
      getResourceServerInfo: () => ({ scope: "", audience: "stepwell-jobs", accessTokenFormat: "jwt" }),
    },
  },
  extraTokenClaims: (_, token) => (token.kind === "ClientCredentials" ? { groups: ["ml-team"] } : undefined),
  ttl: { AccessToken: 600, IdToken: 600, DeviceCode: 600, ClientCredentials: 600, RefreshToken: 6_000, Session: 600, Grant: 600, Interaction: 600 },
  issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
  findAccount: (_, id) => ({
    accountId: id,
    claims: (use) => (id === "thin" && use === "id_token" ? { sub: id } : { sub: id, preferred_username: `${id}@example.org`, groups: GROUPS[id] }),
  }),
});

provider.listen(port, "127.0.0.1", () => process.stdout.write("ready\n"));
