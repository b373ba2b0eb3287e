import java.util.Map;
import no.nhn.register.position.ILsrService;
import no.nhn.register.position.PositionSearchParameters;

/** Training positions. */
public class LsrCases extends ProxyCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    ILsrService lsr = proxy(ILsrService.class, facts, base + "/v1/LSR", addressing);
    holds(lsr.ping() != null, "ping");
    var search = new PositionSearchParameters();
    search.setPage(1);
    search.setPageSize(5);
    var positions = lsr.searchPositions(search);
    holds(positions.getTotal() > 0, "there are positions");
    var position = positions.getResults().getValue().getPosition().get(0);
    same(position.getOrganizationNumber(), lsr.getPosition(position.getId()).getOrganizationNumber());
    lsr.getEmploymentsInPosition(position.getId());
    holds(refused(() -> lsr.getPosition(999_999_999)).getMessage() != null, "a fault");
  }
}
