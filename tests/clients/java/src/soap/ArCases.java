import jakarta.xml.ws.Service;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import no.nhn.register.communicationparty.ICommunicationPartyService;
import no.nhn.register.communicationparty.ICommunicationPartyServiceGetCommunicationPartyDetailsGenericFaultFaultFaultMessage;
import no.nhn.register.communicationparty.Organization;

/** Communication parties and their certificates. */
public class ArCases extends Case {
  public static void run(Service service, Map<String, Object> facts, String address, boolean addressing) throws Exception {
    ICommunicationPartyService register = port(service, ICommunicationPartyService.class, facts, address, addressing);
    same("Pong", register.ping());
    var office = rows(facts, "organisations").stream()
        .filter(o -> "gp_office".equals(o.get("kind")) || o.get("her_id") != null).findFirst().orElseThrow();
    int herId = ((Number) office.get("her_id")).intValue();
    var party = register.getCommunicationPartyDetails(herId);
    same(herId, party.getHerId());
    holds(party instanceof Organization, "i:type is read");
    Set<String> kinds = party.getElectronicAddresses().getValue().getElectronicAddress().stream()
        .map(a -> a.getTypeCodeValue().getValue()).collect(Collectors.toSet());
    holds(kinds.containsAll(Set.of("E_EDI", "E_SB_ASYNC", "E_DS")), "addresses: " + kinds);
    // As address-register clients of municipalities read it: type by type, numbers padded again.
    for (var one : party.getElectronicAddresses().getValue().getElectronicAddress()) {
      same(one.getTypeCodeValue().getValue(), one.getType().getValue().getCodeValue().getValue());
    }
    var physical = party.getPhysicalAddresses().getValue().getPhysicalAddress();
    holds(!physical.isEmpty(), "a physical address");
    for (var one : physical) {
      holds("%04d".formatted(one.getPostalCode()).matches("\\d{4}") && one.getType().getValue() != null, "a postcode and a type");
    }
    same(office.get("orgnr"), "%09d".formatted(((Organization) party).getOrganizationNumber()));
    same(-1, party.getParentHerId());
    same(herId, register.getOrganizationDetails(herId).getHerId());
    var certificate = register.getCertificateDetailsForEncryption(herId);
    holds(certificate.getCertificate().getValue().length > 500, "a certificate");
    Exception unknown = refused(() -> register.getCommunicationPartyDetails(1));
    var fault = ((ICommunicationPartyServiceGetCommunicationPartyDetailsGenericFaultFaultFaultMessage) unknown).getFaultInfo();
    same("InvalidHerIdSupplied", fault.getErrorCode().getValue());
    same("Kommunikasjonspart med oppgitt HER-id eksisterer ikke.", fault.getMessage().getValue());
  }
}
