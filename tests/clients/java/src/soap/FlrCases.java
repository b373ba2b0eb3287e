import jakarta.xml.ws.Service;
import java.util.Map;
import no.nhn.schemas.reg.flr.GPContract;
import no.nhn.schemas.reg.flr.GPContractQueryParameters;
import no.nhn.schemas.reg.flr.IFlrReadOperations;
import no.nhn.schemas.reg.flr.IFlrReadOperationsGetPatientGPDetailsGenericFaultFaultFaultMessage;
import no.nhn.schemas.reg.flr.PatientToGPContractAssociation;

/** GP lists. */
public class FlrCases extends Case {
  public static void run(Service service, Map<String, Object> facts, String address, boolean addressing) throws Exception {
    IFlrReadOperations flr = port(service, IFlrReadOperations.class, facts, address, addressing);
    var query = new GPContractQueryParameters();
    query.setPage(1);
    query.setPageSize(5);
    var found = flr.queryGPContracts(query);
    holds(found.getTotal() > 0, "there are contracts");
    GPContract contract = found.getResults().getValue().getGPContract().get(0);
    same(contract.getGPOfficeOrganizationNumber(), flr.getGPContract(contract.getId()).getGPOfficeOrganizationNumber());
    PatientToGPContractAssociation association = null;
    String patient = null;
    for (var person : rows(facts, "persons")) {
      try {
        patient = (String) person.get("pid");
        association = flr.getPatientGPDetails(patient);
        break;
      } catch (IFlrReadOperationsGetPatientGPDetailsGenericFaultFaultFaultMessage none) {
        same("ArgumentException: Pasienten har ingen fastlege", none.getFaultInfo().getMessage().getValue());
      }
    }
    holds(association != null, "somebody of the story is on a list");
    same(patient, association.getPatientNIN().getValue());
    Exception malformed = refused(() -> flr.getPatientGPDetails("12345678999"));
    var fault = ((IFlrReadOperationsGetPatientGPDetailsGenericFaultFaultFaultMessage) malformed).getFaultInfo();
    same("Feil", fault.getErrorCode().getValue());
    same("ArgumentException: patientNin er ugyldig", fault.getMessage().getValue());
  }
}
