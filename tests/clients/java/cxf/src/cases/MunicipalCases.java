import jakarta.xml.bind.JAXBElement;
import jakarta.xml.ws.soap.SOAPBinding;
import java.util.Map;
import no.nhn.register.communicationparty.CommunicationParty;
import no.nhn.register.communicationparty.ICommunicationPartyService;
import no.nhn.register.communicationparty.ICommunicationPartyServiceGetCommunicationPartyDetailsGenericFaultFaultFaultMessage;
import no.nhn.register.communicationparty.Organization;
import no.nhn.register.communicationparty.OrganizationPerson;
import no.nhn.register.communicationparty.Service;
import org.apache.cxf.jaxws.JaxWsProxyFactoryBean;
import org.apache.cxf.ws.addressing.WSAddressingFeature;

/**
 * The address register as the clients of municipalities call it: a proxy of the contract alone, the national spelling of
 * the path, the user in the factory, SOAP 1.2 with WS-Addressing.
 */
public class MunicipalCases extends Case {
  @SuppressWarnings("unchecked")
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    var user = (Map<String, Object>) ((Map<String, Object>) facts.get("grunndata")).get("basic_auth");
    var factory = new JaxWsProxyFactoryBean();
    factory.setAddress(base + (addressing ? "/v1/Ar" : "/v1/Ar/Basic"));
    factory.setUsername((String) user.get("username"));
    factory.setPassword((String) user.get("password"));
    if (addressing) {
      factory.getFeatures().add(new WSAddressingFeature());
      factory.setBindingId(SOAPBinding.SOAP12HTTP_BINDING);
    }
    ICommunicationPartyService register = factory.create(ICommunicationPartyService.class);
    same("Pong", register.ping());
    int organisations = 0, people = 0, services = 0;
    for (var one : rows(facts, "organisations")) {
      Organization office = (Organization) register.getCommunicationPartyDetails(((Number) one.get("her_id")).intValue());
      organisations++;
      holds(parent(office) == null, "an organisation is on top");
      same(one.get("orgnr"), "%09d".formatted(office.getOrganizationNumber()));
      addresses(office);
      for (var below : office.getPeople().getValue().getOrganizationPerson()) {
        var person = (OrganizationPerson) register.getCommunicationPartyDetails(below.getHerId());
        people++;
        same(office.getHerId(), person.getParentHerId());
        same(office.getName().getValue(), parent(person));
        holds(text(person.getPerson().getValue().getFirstName()) != null, "a first name");
        holds(text(person.getPerson().getValue().getLastName()) != null, "a last name");
        addresses(person);
      }
      for (var below : office.getServices().getValue().getService()) {
        var service = (Service) register.getCommunicationPartyDetails(below.getHerId());
        services++;
        same(office.getName().getValue(), parent(service));
        holds(service.getCode().getValue().getCodeValue().getValue() != null, "a code");
        addresses(service);
      }
      var byNumber = register.searchById(String.valueOf(one.get("orgnr")));
      holds(byNumber.getCommunicationParty().stream().anyMatch(p -> p.getHerId().equals(office.getHerId())), "found by its number");
    }
    holds(organisations > 3 && people > 3 && services > 3, organisations + ", " + people + ", " + services);
    try {
      register.getCommunicationPartyDetails(2);
      throw new AssertionError("an unknown HER-id was answered");
    } catch (ICommunicationPartyServiceGetCommunicationPartyDetailsGenericFaultFaultFaultMessage fault) {
      same("InvalidHerIdSupplied", fault.getFaultInfo().getErrorCode().getValue());
      same("Kommunikasjonspart med oppgitt HER-id eksisterer ikke.", fault.getFaultInfo().getMessage().getValue());
      holds(fault.getMessage().startsWith("Kommunikasjonspart med oppgitt HER-id"), fault.getMessage());
    }
    factory.setPassword("feil passord");
    Exception refused = refused(() -> factory.create(ICommunicationPartyService.class).ping());
    holds(String.valueOf(refused.getCause()).contains("401"), String.valueOf(refused.getCause()));
  }

  private static String text(JAXBElement<String> element) {
    return element == null || element.getValue() == null || element.getValue().isBlank() ? null : element.getValue();
  }

  private static String parent(CommunicationParty party) {
    return party.getParentHerId() == null || party.getParentHerId() == -1 ? null : party.getParentName().getValue();
  }

  private static void addresses(CommunicationParty party) {
    for (var one : party.getPhysicalAddresses().getValue().getPhysicalAddress()) {
      holds(one.getType().getValue().getCodeValue().getValue() != null, "a type");
      text(one.getStreetAddress());
      text(one.getPostbox());
      text(one.getCity());
      if (one.getCountry().getValue() != null) text(one.getCountry().getValue().getCodeText());
    }
  }
}
