import java.util.Map;
import no.nhn.schemas.reg.flr.IFlrReadOperations;
import no.nhn.schemas.reg.flr.IFlrReadOperationsGetPatientGPDetailsGenericFaultFaultFaultMessage;

/** Everybody's GP. */
public class LabourFlrCases extends LabourCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    IFlrReadOperations flr = proxy(IFlrReadOperations.class, facts, base + "/v2/flr/Basic", addressing);
    int found = 0;
    for (var one : rows(facts, "persons")) {
      try {
        var gp = flr.getPatientGPDetails((String) one.get("pid"));
        var office = gp.getGPContract().getValue().getGPOffice().getValue();
        holds(gp.getGPContract().getValue().getGPOfficeOrganizationNumber() > 0, "an office");
        holds(office.getName().getValue() != null, "a name");
        office.getPhysicalAddresses().getValue().getPhysicalAddress().forEach(a -> "%04d".formatted(a.getPostalCode()));
        var cycles = gp.getGPContract().getValue().getDoctorCycles().getValue().getGPOnContractAssociation();
        holds(cycles.stream().allMatch(c -> c.getGP().getValue() != null), "a doctor has a name");
        var doctor = cycles.stream().filter(c -> c.getSubstituteForHprNumber().getValue() == null).findFirst().orElse(null);
        if (doctor != null) holds(flr.confirmGP((String) one.get("pid"), doctor.getHprNumber(), now()), "it is her GP");
        found++;
      } catch (IFlrReadOperationsGetPatientGPDetailsGenericFaultFaultFaultMessage none) {
        same("ArgumentException: Pasienten har ingen fastlege", none.getMessage());
      }
    }
    holds(found > 3, found + " have a GP");
  }
}
