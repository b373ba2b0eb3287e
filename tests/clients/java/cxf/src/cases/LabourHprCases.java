import java.util.Map;
import no.nhn.schemas.reg.hprv2.IHPR2Service;
import no.nhn.schemas.reg.hprv2.IHPR2ServiceHentPersonGenericFaultFaultFaultMessage;
import no.nhn.schemas.reg.hprv2.IHPR2ServiceHentPersonMedPersonnummerGenericFaultFaultFaultMessage;

/** Everybody who is health personnel in the demo, and two who are not. */
public class LabourHprCases extends LabourCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    IHPR2Service hpr = proxy(IHPR2Service.class, facts, base + "/v2/HPR/Basic", addressing);
    same("blåbær", hpr.ping("blåbær"));
    for (var one : rows(facts, "personnel")) {
      if (one.get("hpr_number") == null) continue;
      int number = Integer.parseInt(String.valueOf(one.get("hpr_number")));
      var person = hpr.hentPersonMedPersonnummer((String) one.get("pid"), now());
      same(number, person.getHPRNummer());
      same(one.get("pid"), person.getNIN().getValue());
      same(number, hpr.hentPerson(number, now()).getHPRNummer());
      for (var approval : person.getGodkjenninger().getValue().getGodkjenning()) {
        holds(approval.getHelsepersonellkategori().getValue().isAktiv(), "an approval in use");
        holds(approval.getAutorisasjon().getValue().getVerdi().getValue() != null, "an authorisation");
        holds(approval.getTilleggskompetanser().getValue() != null, "a list, if empty");
      }
    }
    try {
      hpr.hentPersonMedPersonnummer("13116900216", now());
      throw new AssertionError("an unknown person was answered");
    } catch (IHPR2ServiceHentPersonMedPersonnummerGenericFaultFaultFaultMessage fault) {
      same("ArgumentException: Personnummer ikke funnet", fault.getMessage());
    }
    try {
      hpr.hentPerson(0, now());
      throw new AssertionError("no number was answered");
    } catch (IHPR2ServiceHentPersonGenericFaultFaultFaultMessage fault) {
      same("ArgumentException: HPR-nummer må oppgis", fault.getMessage());
    }
  }
}
