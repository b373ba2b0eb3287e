import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.soap.SOAPBinding;
import java.io.ByteArrayInputStream;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.ZipInputStream;
import no.nhn.schemas.reg.flr.ContractsQueryParameters;
import no.nhn.schemas.reg.flr.IFlrExportOperations;

/** The export of the GP lists, as text and as an attachment: for the administrator, not for an office. */
public class FlrExportCases extends ProxyCase {
  @SuppressWarnings("unchecked")
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    String address = base + "/v2/flrexport";
    IFlrExportOperations office = proxy(IFlrExportOperations.class, facts, address, false, addressing);
    Exception refused = refused(() -> office.exportGPContracts(new ContractsQueryParameters()));
    holds(refused.getMessage().contains("Access is denied."), refused.getMessage());
    var registers = new HashMap<>((Map<String, Object>) facts.get("grunndata"));
    registers.put("basic_auth", registers.get("administrator"));
    var owned = new HashMap<>(facts);
    owned.put("grunndata", registers);
    for (boolean mtom : new boolean[] {false, true}) {
      IFlrExportOperations flr = proxy(IFlrExportOperations.class, owned, address, false, addressing);
      ((SOAPBinding) ((BindingProvider) flr).getBinding()).setMTOMEnabled(mtom);
      int entries = 0;
      try (var zip = new ZipInputStream(new ByteArrayInputStream(flr.exportGPContracts(new ContractsQueryParameters())))) {
        while (zip.getNextEntry() != null) {
          holds(new String(zip.readAllBytes(), "UTF-8").contains("GPContract"), "contracts of an office");
          entries++;
        }
      }
      holds(entries > 1, entries + " offices");
    }
  }
}
