import java.util.Map;
import no.nhn.schemas.reg.servicebusmanagerv2.IServiceBusManagerV2;
import no.nhn.schemas.reg.servicebusmanagerv2.SubscriptionEventSource;

/** Event queues. */
public class QueueCases extends ProxyCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    IServiceBusManagerV2 manager = proxy(IServiceBusManagerV2.class, facts, base + "/v2/serviceBusManager", addressing);
    var made = manager.subscribe(SubscriptionEventSource.ADDRESS_REGISTER, "", "cxf_test");
    String queue = made.getQueueName().getValue();
    same(queue, manager.subscribe(SubscriptionEventSource.ADDRESS_REGISTER, "", "cxf_test").getQueueName().getValue());
    holds(manager.getSubscriptions().getEventSubscription().stream().anyMatch(s -> s.getQueueName().getValue().equals(queue)), "listed");
    manager.unsubscribe(queue);
    holds(refused(() -> manager.subscribe(SubscriptionEventSource.ADDRESS_REGISTER, "", "ikke lov!")).getMessage() != null, "a fault");
  }
}
