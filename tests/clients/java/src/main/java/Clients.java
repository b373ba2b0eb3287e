import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.oauth2.sdk.AuthorizationCodeGrant;
import com.nimbusds.oauth2.sdk.AuthorizationGrant;
import com.nimbusds.oauth2.sdk.AuthorizationRequest;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.PushedAuthorizationRequest;
import com.nimbusds.oauth2.sdk.PushedAuthorizationResponse;
import com.nimbusds.oauth2.sdk.ResponseType;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenErrorResponse;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.http.HTTPRequest;
import com.nimbusds.oauth2.sdk.http.HTTPResponse;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.id.Issuer;
import com.nimbusds.oauth2.sdk.id.State;
import com.nimbusds.oauth2.sdk.pkce.CodeChallengeMethod;
import com.nimbusds.oauth2.sdk.pkce.CodeVerifier;
import com.nimbusds.oauth2.sdk.token.DPoPAccessToken;
import com.nimbusds.oauth2.sdk.util.JSONObjectUtils;
import com.nimbusds.openid.connect.sdk.AuthenticationRequest;
import com.nimbusds.openid.connect.sdk.AuthenticationResponseParser;
import com.nimbusds.openid.connect.sdk.Nonce;
import com.nimbusds.openid.connect.sdk.OIDCTokenResponse;
import com.nimbusds.openid.connect.sdk.OIDCTokenResponseParser;
import com.nimbusds.openid.connect.sdk.op.OIDCProviderMetadata;
import com.nimbusds.openid.connect.sdk.validators.IDTokenValidator;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Each case prints one line; the last line counts them. Argument: facts.json. */
public class Clients {
  interface Case { void run() throws Exception; }

  static Map<String, Object> facts;
  static OIDCProviderMetadata metadata;
  static int passed, failed;

  @SuppressWarnings("unchecked")
  static Map<String, Object> row(Object list, String key, String value) {
    return (Map<String, Object>) ((List<Object>) list).stream()
        .filter(r -> value.equals(((Map<String, Object>) r).get(key))).findFirst().orElseThrow();
  }

  @SuppressWarnings("unchecked")
  static Map<String, Object> section(String name) { return (Map<String, Object>) facts.get(name); }

  /** A client as the national library signs for it: strict header, five seconds, the issuer as audience. */
  static class Client {
    final String id;
    final ECKey key;

    @SuppressWarnings("unchecked")
    Client(String id) throws Exception {
      this.id = id;
      key = (ECKey) JWK.parse((Map<String, Object>) row(section("helseid").get("clients"), "client_id", id).get("private_jwk"));
    }

    PrivateKeyJWT authentication() throws Exception {
      Date now = new Date();
      var claims = new JWTClaimsSet.Builder().issuer(id).subject(id).audience(metadata.getIssuer().getValue())
          .issueTime(now).notBeforeTime(now).expirationTime(new Date(now.getTime() + 5_000))
          .jwtID(UUID.randomUUID().toString()).build();
      var header = new JWSHeader.Builder(JWSAlgorithm.ES256).type(new JOSEObjectType("client-authentication+jwt"))
          .keyID(key.getKeyID()).build();
      var jwt = new SignedJWT(header, claims);
      jwt.sign(new ECDSASigner(key));
      return new PrivateKeyJWT(jwt);
    }

    /** First without nonce, then the same assertion again with it. */
    TokenResponse token(AuthorizationGrant grant, Scope scope) throws Exception {
      URI endpoint = metadata.getTokenEndpointURI();
      var proofs = new DefaultDPoPProofFactory(key, JWSAlgorithm.ES256);
      var authentication = authentication();
      HTTPRequest first = new TokenRequest(endpoint, authentication, grant, scope).toHTTPRequest();
      first.setDPoP(proofs.createDPoPJWT("POST", endpoint));
      HTTPResponse refused = first.send();
      check("use_dpop_nonce".equals(TokenErrorResponse.parse(refused).getErrorObject().getCode()), "nonce asked for");
      check(refused.getStatusCode() == 400 && refused.getDPoPNonce() != null, "400 with a nonce");
      HTTPRequest second = new TokenRequest(endpoint, authentication, grant, scope).toHTTPRequest();
      second.setDPoP(proofs.createDPoPJWT("POST", endpoint, refused.getDPoPNonce()));
      return OIDCTokenResponseParser.parse(second.send());
    }

    int call(String url, DPoPAccessToken token) throws Exception {
      URI uri = new URI(url);
      HTTPRequest request = new HTTPRequest(HTTPRequest.Method.GET, uri);
      request.setAuthorization(token.toAuthorizationHeader());
      URI bare = new URI(uri.getScheme(), uri.getAuthority(), uri.getPath(), null, null);
      request.setDPoP(new DefaultDPoPProofFactory(key, JWSAlgorithm.ES256).createDPoPJWT("GET", bare, token));
      request.setHeader("nhn-access-basis", "SAMTYKKE");
      request.setHeader("nhn-user-role", "LE");
      return request.send().getStatusCode();
    }
  }

  static void check(boolean is, String what) {
    if (!is) throw new AssertionError(what);
  }

  static void machine() throws Exception {
    var client = new Client("demo-system-nordlys");
    var answer = client.token(new ClientCredentialsGrant(), new Scope("nhn:pps/provesvar-read"));
    check(answer.indicatesSuccess(), String.valueOf(answer.toHTTPResponse().getBody()));
    var token = answer.toSuccessResponse().getTokens().getDPoPAccessToken();
    var claims = SignedJWT.parse(token.getValue()).getJWTClaimsSet();
    check(claims.getAudience().equals(List.of("nhn:pps")), "audience " + claims.getAudience());
    check(claims.getJSONObjectClaim("cnf").get("jkt").equals(client.key.computeThumbprint().toString()), "bound to the key");
  }

  static void refused() throws Exception {
    var answer = new Client("demo-system-nordlys").token(new ClientCredentialsGrant(), new Scope("nhn:deft/api"));
    check(!answer.indicatesSuccess(), "refused");
    check("invalid_scope".equals(answer.toErrorResponse().getErrorObject().getCode()), "invalid_scope");
  }

  static void login() throws Exception {
    var client = new Client("demo-epj-nordlys");
    var doctor = row(facts.get("personnel"), "key", "saether");
    var redirect = new URI("http://127.0.0.1:8765/callback");
    var verifier = new CodeVerifier();
    var state = new State();
    var nonce = new Nonce();
    var request = new AuthenticationRequest.Builder(ResponseType.CODE, new Scope("openid", "profile", "nhn:pps/provesvar-read"),
            new ClientID(client.id), redirect)
        .state(state).nonce(nonce).codeChallenge(verifier, CodeChallengeMethod.S256)
        .customParameter("acr_values", "idp:testidp-oidc").customParameter("test_pid", (String) doctor.get("pid")).build();
    var pushed = PushedAuthorizationResponse.parse(
        new PushedAuthorizationRequest(metadata.getPushedAuthorizationRequestEndpointURI(), client.authentication(), request)
            .toHTTPRequest().send());
    check(pushed.indicatesSuccess(), "pushed");
    var browser = new HTTPRequest(HTTPRequest.Method.GET,
        new AuthorizationRequest.Builder(pushed.toSuccessResponse().getRequestURI(), new ClientID(client.id))
            .endpointURI(metadata.getAuthorizationEndpointURI()).build().toURI());
    browser.setFollowRedirects(false);
    var back = AuthenticationResponseParser.parse(browser.send().getLocation());
    check(back.indicatesSuccess() && state.equals(back.getState()), "sent back");
    check(metadata.getIssuer().equals(back.getIssuer()), "iss of the callback");
    var answer = client.token(new AuthorizationCodeGrant(back.toSuccessResponse().getAuthorizationCode(), redirect, verifier), null);
    check(answer.indicatesSuccess(), "tokens");
    var tokens = ((OIDCTokenResponse) answer.toSuccessResponse()).getOIDCTokens();
    var validator = new IDTokenValidator(metadata.getIssuer(), new ClientID(client.id), JWSAlgorithm.RS256, metadata.getJWKSetURI().toURL());
    check(doctor.get("name").equals(validator.validate(tokens.getIDToken(), nonce).getStringClaim("name")), "name");

    @SuppressWarnings("unchecked")
    var ids = (Map<String, Object>) row(facts.get("persons"), "story", "hjerte").get("fhir_id");
    String url = section("fhir").get("provesvar") + "/Observation?patient=" + ids.get("provesvar");
    int status = client.call(url, tokens.getDPoPAccessToken());
    check(status == 200, "look-up answered " + status);
  }

  static void run(String name, Case one) {
    try {
      one.run();
      passed++;
      System.out.println("ok - " + name);
    } catch (Throwable why) {
      failed++;
      System.out.println("not ok - " + name + ": " + why + (why instanceof ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException e ? " " + e.getResponseBody() : ""));
    }
  }

  public static void main(String[] arguments) throws Exception {
    facts = JSONObjectUtils.parse(Files.readString(Path.of(arguments[0])));
    metadata = OIDCProviderMetadata.resolve(new Issuer((String) section("helseid").get("issuer")));
    run("machine token, strict mode, same assertion on the nonce retry", Clients::machine);
    run("a scope that was not granted", Clients::refused);
    run("login with PAR and PKCE, ID token checked, look-up with DPoP", Clients::login);
    Bus.all(facts);
    Older.all();
    Sandbox.all((String) section("fhir").get("sandbox"));
    Grunndata.all(facts);
    System.out.println(passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }
}
