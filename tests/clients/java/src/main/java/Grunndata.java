import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.gclient.TokenClientParam;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import ca.uhn.fhir.rest.server.exceptions.ResourceNotFoundException;
import com.nimbusds.jose.util.JSONObjectUtils;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Bundle.SearchEntryMode;
import org.hl7.fhir.r4.model.Organization;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Practitioner;
import org.hl7.fhir.r4.model.PractitionerRole;
import org.hl7.fhir.r4.model.Resource;

/** HAPI's client against the registers as FHIR, in JSON and in XML, with a token that is bound to no key. */
class Grunndata {
  static final String AUDIENCE = "nhn:hgd-persontjenesten-api";
  static final String HPR = "urn:oid:2.16.578.1.12.4.1.4.4";
  static final String FNR = "urn:oid:2.16.578.1.12.4.1.4.1";

  final IGenericClient client;
  final Map<String, Object> facts;

  Grunndata(Map<String, Object> facts, EncodingEnum encoding) throws Exception {
    this.facts = facts;
    FhirContext context = FhirContext.forR4Cached();
    context.setParserErrorHandler(new StrictErrorHandler());
    client = context.newRestfulGenericClient((String) section("fhir").get("grunndata"));
    client.setEncoding(encoding);
    client.registerInterceptor(new BearerTokenAuthInterceptor(token()));
  }

  @SuppressWarnings("unchecked")
  Map<String, Object> section(String name) { return (Map<String, Object>) facts.get(name); }

  @SuppressWarnings("unchecked")
  List<Map<String, Object>> rows(String name) { return (List<Map<String, Object>>) facts.get(name); }

  @SuppressWarnings("unchecked")
  String token() throws Exception {
    var where = (Map<String, Object>) section("helseid").get("test_tokens");
    var body = JSONObjectUtils.toJSONString(Map.of("audience", AUDIENCE, "clientClaimsParameters",
        Map.of("scope", List.of(AUDIENCE + "/read-with-legal-basis"), "orgnrParent", rows("organisations").get(0).get("orgnr"))));
    var request = HttpRequest.newBuilder(URI.create((String) where.get("url"))).header("x-auth-key", (String) where.get("api_key"))
        .header("content-type", "application/json").POST(HttpRequest.BodyPublishers.ofString(body)).build();
    var answer = JSONObjectUtils.parse(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    return (String) ((Map<String, Object>) answer.get("successResponse")).get("accessTokenJwt");
  }

  static void check(boolean is, String what) { Clients.check(is, what); }

  String doctor() {
    return rows("personnel").stream().filter(p -> "LE".equals(p.get("role"))).findFirst().orElseThrow().get("hpr_number").toString();
  }

  static List<Resource> of(Bundle bundle, SearchEntryMode mode) {
    return bundle.getEntry().stream().filter(e -> e.getSearch().getMode() == mode).map(e -> (Resource) e.getResource()).toList();
  }

  void rolesWithWhatTheyReferTo() {
    Bundle found = client.search().forResource(PractitionerRole.class)
        .where(PractitionerRole.PRACTITIONER.hasId("Practitioner/hpr-" + doctor()))
        .include(PractitionerRole.INCLUDE_PRACTITIONER).include(PractitionerRole.INCLUDE_ORGANIZATION).include(PractitionerRole.INCLUDE_LOCATION)
        .returnBundle(Bundle.class).execute();
    var roles = of(found, SearchEntryMode.MATCH);
    var along = of(found, SearchEntryMode.INCLUDE).stream().map(r -> r.getIdElement().toUnqualifiedVersionless().getValue()).toList();
    check(!roles.isEmpty(), "roles");
    for (Resource resource : roles) {
      var role = (PractitionerRole) resource;
      check(along.contains(role.getOrganization().getReference()), "organisation of " + role.getId() + " in " + along);
      check(along.contains(role.getPractitioner().getReference()), "practitioner of " + role.getId());
    }
    Bundle back = client.search().forResource(Practitioner.class)
        .where(new TokenClientParam("identifier").exactly().systemAndIdentifier(HPR, doctor()))
        .revInclude(PractitionerRole.INCLUDE_PRACTITIONER).returnBundle(Bundle.class).execute();
    check(back.getTotal() == 1 && of(back, SearchEntryMode.INCLUDE).size() == roles.size(), "the same backwards");
  }

  void versions() {
    var id = "Practitioner/hpr-" + doctor();
    var now = client.read().resource(Practitioner.class).withId("hpr-" + doctor()).execute();
    Bundle history = client.history().onInstance(id).returnBundle(Bundle.class).execute();
    check(history.getEntryFirstRep().getResource().getMeta().getVersionId().equals(now.getMeta().getVersionId()), "newest first");
    var past = client.read().resource(Practitioner.class).withIdAndVersion("hpr-" + doctor(), now.getMeta().getVersionId()).execute();
    check(past.equalsDeep(now), "vread");
    try {
      client.read().resource(Practitioner.class).withIdAndVersion("hpr-" + doctor(), "999").execute();
      check(false, "404");
    } catch (ResourceNotFoundException expected) {
      check(expected.getOperationOutcome() != null, "outcome");
    }
  }

  void pages() {
    Bundle page = client.search().forResource(Organization.class).where(Organization.NAME.matches().value("lege")).count(2)
        .returnBundle(Bundle.class).execute();
    int seen = page.getEntry().size(), total = page.getTotal();
    while (page.getLink(Bundle.LINK_NEXT) != null) {
      page = client.loadPage().next(page).execute();
      seen += page.getEntry().size();
    }
    check(seen == total && total > 0, seen + " of " + total);
  }

  void patientByBody() {
    var pid = (String) rows("persons").get(0).get("pid");
    var search = client.search().forResource(Patient.class).where(Patient.IDENTIFIER.exactly().systemAndIdentifier(FNR, pid));
    Bundle found = search.usingStyle(SearchStyleEnum.POST).returnBundle(Bundle.class).execute();
    check(found.getTotal() == 1, "one patient");
    try {
      client.search().forResource(Patient.class).where(Patient.IDENTIFIER.exactly().systemAndIdentifier(FNR, pid))
          .returnBundle(Bundle.class).execute();
      check(false, "a national id in an address");
    } catch (InvalidRequestException expected) {
      check(!expected.getResponseBody().contains(pid), "the number is not told back");
    }
  }

  static void all(Map<String, Object> facts) throws Exception {
    for (EncodingEnum encoding : List.of(EncodingEnum.JSON, EncodingEnum.XML)) {
      var own = new Grunndata(facts, encoding);
      String suffix = " (HAPI, registers, " + encoding + ")";
      Clients.run("roles with what they refer to" + suffix, own::rolesWithWhatTheyReferTo);
      Clients.run("versions of a doctor" + suffix, own::versions);
      Clients.run("organisations page by page" + suffix, own::pages);
      Clients.run("a patient by a number in the body" + suffix, own::patientByBody);
    }
  }
}
