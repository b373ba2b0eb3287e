import jakarta.xml.ws.Service;
import java.util.Map;
import no.nhn.schemas.reg.hprv2.IHPR2Service;
import no.nhn.schemas.reg.hprv2.IHPR2ServiceHentPersonGenericFaultFaultFaultMessage;
import no.nhn.schemas.reg.hprv2.Person;

/** Health personnel. */
public class HprCases extends Case {
  public static void run(Service service, Map<String, Object> facts, String address, boolean addressing) throws Exception {
    IHPR2Service hpr = port(service, IHPR2Service.class, facts, address, addressing);
    same("hei", hpr.ping("hei"));
    var doctor = rows(facts, "personnel").stream().filter(p -> "LE".equals(p.get("role"))).findFirst().orElseThrow();
    int number = Integer.parseInt(String.valueOf(doctor.get("hpr_number")));
    Person person = hpr.hentPerson(number, now());
    same(number, person.getHPRNummer());
    holds(!person.getEtternavn().getValue().isEmpty(), "a name");
    var approval = person.getGodkjenninger().getValue().getGodkjenning().get(0);
    same("LE", approval.getHelsepersonellkategori().getValue().getVerdi().getValue());
    Person again = hpr.hentPersonMedPersonnummer(person.getNIN().getValue(), now());
    same(number, again.getHPRNummer());
    same(person.getETag().getValue(), hpr.hentPersonMedHistorikk(number).getETag().getValue());
    Exception unknown = refused(() -> hpr.hentPerson(1, now()));
    var fault = ((IHPR2ServiceHentPersonGenericFaultFaultFaultMessage) unknown).getFaultInfo();
    same("ArgumentException: HPR-nummer ikke funnet", fault.getMessage().getValue());
  }
}
