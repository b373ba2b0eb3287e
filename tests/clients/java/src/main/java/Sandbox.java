import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.api.CacheControlDirective;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.PreferReturnEnum;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SearchTotalModeEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.rest.gclient.DateClientParam;
import ca.uhn.fhir.rest.gclient.TokenClientParam;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import ca.uhn.fhir.rest.server.exceptions.PreconditionFailedException;
import ca.uhn.fhir.rest.server.exceptions.ResourceGoneException;
import ca.uhn.fhir.rest.server.exceptions.ResourceNotFoundException;
import ca.uhn.fhir.rest.server.exceptions.UnprocessableEntityException;
import java.math.BigDecimal;
import java.util.HashSet;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;
import org.hl7.fhir.instance.model.api.IBaseBundle;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.Bundle.BundleType;
import org.hl7.fhir.r4.model.Bundle.HTTPVerb;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.CodeType;
import org.hl7.fhir.r4.model.DateType;
import org.hl7.fhir.r4.model.Enumerations.AdministrativeGender;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.InstantType;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Observation.ObservationStatus;
import org.hl7.fhir.r4.model.OperationOutcome;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Quantity;
import org.hl7.fhir.r4.model.Reference;
import org.hl7.fhir.r4.model.StringType;

/** HAPI's client against the sandbox, once in JSON and once in XML; its parser is set to refuse what R4 does not know. */
class Sandbox {
  final IGenericClient client;
  String mark = "urn:test:" + UUID.randomUUID();

  static final FhirContext CONTEXT = FhirContext.forR4();

  Sandbox(String base, EncodingEnum encoding) {
    CONTEXT.setParserErrorHandler(new StrictErrorHandler());
    // The handshake that HAPI makes before its first request.
    CONTEXT.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.ONCE);
    CONTEXT.getRestfulClientFactory().setSocketTimeout(60_000);
    client = CONTEXT.newRestfulGenericClient(base);
    client.setEncoding(encoding);
  }

  static void check(boolean is, String what) { Clients.check(is, what); }

  Patient patient(String family) {
    var patient = new Patient();
    patient.addIdentifier().setSystem(mark).setValue(family);
    patient.addName().setFamily(family).addGiven("Ola");
    return patient;
  }

  Observation observation(IdType subject, String value) {
    var observation = new Observation();
    observation.setStatus(ObservationStatus.FINAL);
    observation.getCode().addCoding().setSystem("http://loinc.org").setCode("718-7");
    observation.setSubject(new Reference(subject.toUnqualifiedVersionless()));
    observation.setValue(new Quantity().setValue(new BigDecimal(value)).setUnit("g/dL").setSystem("http://unitsofmeasure.org").setCode("g/dL"));
    return observation;
  }

  TokenClientParam identifier() { return new TokenClientParam("identifier"); }

  IdType create(Patient patient) { return (IdType) client.create().resource(patient).execute().getId(); }

  IdType create(Observation observation) { return (IdType) client.create().resource(observation).execute().getId(); }

  void handshake() {
    var statement = client.capabilities().ofType(CapabilityStatement.class).execute();
    check("4.0.1".equals(statement.getFhirVersion().toCode()), "version");
    check(statement.getRestFirstRep().getResource().size() == 146, "resource types " + statement.getRestFirstRep().getResource().size());
  }

  void life() {
    MethodOutcome made = client.create().resource(patient("Første")).prefer(PreferReturnEnum.REPRESENTATION).execute();
    check(made.getCreated() && "1".equals(made.getId().getVersionIdPart()), "created " + made.getId());
    check(made.getResource() instanceof Patient, "representation");
    IdType id = new IdType("Patient", made.getId().getIdPart());
    var read = client.read().resource(Patient.class).withId(id).execute();
    check("Første".equals(read.getNameFirstRep().getFamily()), "read");
    check(client.read().resource(Patient.class).withId(id).ifVersionMatches("1").returnNull().execute() == null, "304");
    read.setBirthDateElement(new DateType("1980-05"));
    var changed = client.update().resource(read).execute();
    check("2".equals(changed.getId().getVersionIdPart()), "updated");
    check(client.read().resource(Patient.class).withIdAndVersion(id.getIdPart(), "1").execute().getBirthDate() == null, "vread");
    Bundle history = client.history().onInstance(id).returnBundle(Bundle.class).execute();
    check(history.getEntry().size() == 2 && history.getEntry().get(0).getRequest().getMethod() == HTTPVerb.PUT, "history");
    check(!client.history().onType(Patient.class).returnBundle(Bundle.class).count(2).execute().getEntry().isEmpty(), "history of the type");
    check(!client.history().onServer().returnBundle(Bundle.class).count(2).execute().getEntry().isEmpty(), "history of all");
    client.delete().resourceById(id).execute();
    try {
      client.read().resource(Patient.class).withId(id).execute();
      check(false, "410");
    } catch (ResourceGoneException expected) {
      check(expected.getOperationOutcome() instanceof OperationOutcome, "outcome of a 410");
    }
    try {
      client.read().resource(Patient.class).withId(UUID.randomUUID().toString()).execute();
      check(false, "404");
    } catch (ResourceNotFoundException expected) {
      check(expected.getOperationOutcome() != null, "outcome of a 404");
    }
    // A guarded update of an old version is refused.
    IdType other = create(patient("Vernet"));
    var guarded = client.read().resource(Patient.class).withId(other.toUnqualifiedVersionless()).execute();
    guarded.setActive(true);
    client.update().resource(guarded).execute();
    guarded.setActive(false).setId(new IdType("Patient", other.getIdPart(), "1"));
    try {
      client.update().resource(guarded).withId(guarded.getIdElement()).withAdditionalHeader("If-Match", "W/\"1\"").execute();
      check(false, "412");
    } catch (PreconditionFailedException expected) {
      check(expected.getOperationOutcome() != null, "outcome of a 412");
    }
  }

  void search() {
    mark = "urn:test:" + UUID.randomUUID();
    for (String family : new String[] {"En", "To", "Tre"}) create(patient(family));
    Bundle page = client.search().forResource(Patient.class).where(identifier().hasSystemWithAnyCode(mark)).sort().descending("family").count(2)
        .totalMode(SearchTotalModeEnum.ACCURATE).returnBundle(Bundle.class).execute();
    check(page.getTotal() == 3 && page.getEntry().size() == 2, "first page " + page.getTotal());
    check("Tre".equals(((Patient) page.getEntryFirstRep().getResource()).getNameFirstRep().getFamily()), "order");
    Bundle next = client.loadPage().next(page).execute();
    check(next.getEntry().size() == 1 && next.getLink(IBaseBundle.LINK_NEXT) == null, "last page");
    Bundle posted = client.search().forResource(Patient.class).where(identifier().exactly().systemAndCode(mark, "En")).usingStyle(SearchStyleEnum.POST)
        .returnBundle(Bundle.class).execute();
    check(posted.getTotal() == 1, "POST search");
    Bundle named = client.search().forResource(Patient.class).where(Patient.FAMILY.matchesExactly().value("To")).and(identifier().hasSystemWithAnyCode(mark))
        .returnBundle(Bundle.class).execute();
    check(named.getTotal() == 1, ":exact");
    check(client.search().forResource(Patient.class).where(identifier().hasSystemWithAnyCode(mark)).summaryMode(SummaryEnum.COUNT)
        .returnBundle(Bundle.class).execute().getTotal() == 3, "_summary=count");
    Bundle elements = client.search().forResource(Patient.class).where(identifier().hasSystemWithAnyCode(mark)).elementsSubset("name").returnBundle(Bundle.class).execute();
    check(elements.getEntry().stream().noneMatch(e -> ((Patient) e.getResource()).hasIdentifier()), "_elements");
    Bundle late = client.search().forResource(Patient.class).where(identifier().hasSystemWithAnyCode(mark)).and(new DateClientParam("_lastUpdated").after().day("2020-01-01"))
        .returnBundle(Bundle.class).cacheControl(new CacheControlDirective().setNoCache(true)).execute();
    check(late.getTotal() == 3, "_lastUpdated");
    try {
      client.search().byUrl("Patient?familly=x").returnBundle(Bundle.class).execute();
      check(false, "a misspelled parameter");
    } catch (InvalidRequestException expected) {
      check(expected.getOperationOutcome() != null, "outcome of a 400");
    }
  }

  void references() {
    IdType kari = create(patient("Kjede"));
    create(observation(kari, "13.50"));
    create(observation(kari, "9.1"));
    Bundle found = client.search().forResource(Observation.class).where(Observation.SUBJECT.hasChainedProperty("Patient", identifier().exactly().systemAndCode(mark, "Kjede")))
        .and(Observation.VALUE_QUANTITY.greaterThan().number(10).andNoUnits()).include(Observation.INCLUDE_SUBJECT).returnBundle(Bundle.class).execute();
    check(found.getTotal() == 1 && found.getEntry().size() == 2, "chain and include");
    var value = ((Observation) found.getEntryFirstRep().getResource()).getValueQuantity();
    check("13.50".equals(value.getValueElement().getValueAsString()), "the decimal as written");
    Bundle back = client.search().forResource(Patient.class).where(identifier().exactly().systemAndCode(mark, "Kjede"))
        .revInclude(Observation.INCLUDE_SUBJECT).returnBundle(Bundle.class).execute();
    check(back.getEntry().size() == 3 && back.getTotal() == 1, "revinclude");
    Bundle has = client.search().byUrl("Patient?_has:Observation:subject:code=718-7&identifier=" + mark + "%7C").returnBundle(Bundle.class).execute();
    check(has.getTotal() == 1, "_has");
    Bundle inside = client.search().forResource(Observation.class).where(Observation.PATIENT.hasId(kari.getIdPart())).returnBundle(Bundle.class).execute();
    check(inside.getTotal() == 2, "patient");
    var everything = client.operation().onInstance(kari.toUnqualifiedVersionless()).named("$everything").withNoParameters(Parameters.class)
        .useHttpGet().returnResourceType(Bundle.class).execute();
    Set<String> types = everything.getEntry().stream().map(e -> e.getResource().fhirType()).collect(Collectors.toCollection(HashSet::new));
    check(types.equals(Set.of("Patient", "Observation")), "$everything " + types);
  }

  void conditional() {
    var first = client.create().resource(patient("Betinget")).conditional().where(identifier().exactly().systemAndCode(mark, "Betinget")).execute();
    check(first.getCreated(), "created");
    var second = client.create().resource(patient("Betinget")).conditional().where(identifier().exactly().systemAndCode(mark, "Betinget")).execute();
    check(second.getId().getIdPart().equals(first.getId().getIdPart()), "the same");
    var changed = patient("Betinget");
    changed.setGender(AdministrativeGender.OTHER);
    var third = client.update().resource(changed).conditional().where(identifier().exactly().systemAndCode(mark, "Betinget")).execute();
    check("2".equals(third.getId().getVersionIdPart()), "conditional update");
    var wish = new Parameters();
    var operation = wish.addParameter().setName("operation");
    operation.addPart().setName("type").setValue(new CodeType("replace"));
    operation.addPart().setName("path").setValue(new StringType("Patient.gender"));
    operation.addPart().setName("value").setValue(new CodeType("female"));
    client.patch().withFhirPatch(wish).withId(new IdType("Patient", first.getId().getIdPart())).execute();
    check(client.read().resource(Patient.class).withId(first.getId().getIdPart()).execute().getGender() == AdministrativeGender.FEMALE, "FHIRPath patch");
    client.patch().withBody("[{\"op\":\"replace\",\"path\":\"/gender\",\"value\":\"male\"}]").withId(new IdType("Patient", first.getId().getIdPart())).execute();
    check(client.read().resource(Patient.class).withId(first.getId().getIdPart()).execute().getGender() == AdministrativeGender.MALE, "JSON patch");
    client.delete().resourceConditionalByType("Patient").where(identifier().exactly().systemAndCode(mark, "Betinget")).execute();
    check(client.search().forResource(Patient.class).where(identifier().exactly().systemAndCode(mark, "Betinget")).returnBundle(Bundle.class).execute().getTotal() == 0, "deleted");
  }

  void transaction() {
    var bundle = new Bundle();
    bundle.setType(BundleType.TRANSACTION);
    String full = IdType.newRandomUuid().getValue();
    var observation = observation(new IdType("Patient", "x"), "1.0");
    observation.setSubject(new Reference(full));
    observation.setIssuedElement(new InstantType("2026-11-22T10:00:00.000+01:00"));
    bundle.addEntry().setResource(observation).getRequest().setMethod(HTTPVerb.POST).setUrl("Observation");
    bundle.addEntry().setFullUrl(full).setResource(patient("Bunt")).getRequest().setMethod(HTTPVerb.POST).setUrl("Patient");
    Bundle done = client.transaction().withBundle(bundle).execute();
    check(done.getType() == BundleType.TRANSACTIONRESPONSE, "type");
    check(done.getEntry().stream().allMatch(e -> e.getResponse().getStatus().startsWith("201")), "statuses");
    var stored = client.read().resource(Observation.class).withId(new IdType(done.getEntryFirstRep().getResponse().getLocation()).getIdPart()).execute();
    check(stored.getSubject().getReference().equals("Patient/" + new IdType(done.getEntry().get(1).getResponse().getLocation()).getIdPart()), "reference rewritten");
    bundle.getEntryFirstRep().setResource(new Observation());
    try {
      client.transaction().withBundle(bundle).execute();
      check(false, "a transaction with a fault");
    } catch (UnprocessableEntityException | InvalidRequestException expected) {
      check(expected.getOperationOutcome() != null, "outcome of a transaction");
    }
    var batch = new Bundle();
    batch.setType(BundleType.BATCH);
    batch.addEntry().getRequest().setMethod(HTTPVerb.GET).setUrl("Patient?identifier=" + mark + "%7CBunt");
    batch.addEntry().getRequest().setMethod(HTTPVerb.GET).setUrl("Patient/none");
    Bundle answers = client.transaction().withBundle(batch).execute();
    check(((Bundle) answers.getEntryFirstRep().getResource()).getTotal() == 1, "batch search");
    check(answers.getEntry().get(1).getResponse().getStatus().startsWith("404"), "batch 404");
  }

  void validation() {
    var good = client.validate().resource(patient("Gyldig")).execute();
    check(((OperationOutcome) good.getOperationOutcome()).getIssue().stream().noneMatch(i -> i.getSeverity().ordinal() < 3 && "error".equals(i.getSeverity().toCode())), "valid");
    var bad = new Observation();
    bad.getCode().setText("x");
    var verdict = (OperationOutcome) client.validate().resource(bad).execute().getOperationOutcome();
    check(verdict.getIssue().stream().anyMatch(i -> i.getExpression().stream().anyMatch(e -> e.getValue().contains("status"))), "what is missing is named");
    try {
      client.create().resource(bad).execute();
      check(false, "422");
    } catch (UnprocessableEntityException expected) {
      check(expected.getOperationOutcome() != null, "outcome of a 422");
    }
  }

  static void all(String base) {
    for (var encoding : EncodingEnum.values()) {
      if (encoding != EncodingEnum.JSON && encoding != EncodingEnum.XML) continue;
      var sandbox = new Sandbox(base, encoding);
      String in = "HAPI in " + encoding + ": ";
      Clients.run(in + "handshake", sandbox::handshake);
      Clients.run(in + "life of a resource", sandbox::life);
      Clients.run(in + "search and pages", sandbox::search);
      Clients.run(in + "references", sandbox::references);
      Clients.run(in + "conditional forms and patches", sandbox::conditional);
      Clients.run(in + "transaction and batch", sandbox::transaction);
      Clients.run(in + "validation", sandbox::validation);
    }
  }
}
