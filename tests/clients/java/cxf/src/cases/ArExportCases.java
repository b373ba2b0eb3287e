import java.util.Map;
import no.nhn.register.communicationparty.IARExportService;

/** The export of the address register: SOAP 1.1 only. */
public class ArExportCases extends ProxyCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    IARExportService parties = proxy(IARExportService.class, facts, base + "/v1/ARExport", false, addressing);
    String document = new String(parties.getAllCommunicationPartiesXml(), "UTF-8");
    for (var one : rows(facts, "organisations")) {
      holds(document.contains(">" + one.get("her_id") + "<"), "every organisation is there");
    }
  }
}
