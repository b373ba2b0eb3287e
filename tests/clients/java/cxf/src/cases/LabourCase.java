import java.util.Map;
import org.apache.cxf.configuration.security.AuthorizationPolicy;
import org.apache.cxf.frontend.ClientProxy;
import org.apache.cxf.jaxws.JaxWsProxyFactoryBean;
import org.apache.cxf.transport.http.HTTPConduit;
import org.apache.cxf.ws.addressing.WSAddressingFeature;

/**
 * HPR and FLR as the labour and welfare administration calls them: SOAP 1.1 with WS-Addressing headers beside it, or none,
 * the user set on the conduit, requests in chunks.
 */
class LabourCase extends Case {
  @SuppressWarnings("unchecked")
  static <T> T proxy(Class<T> contract, Map<String, Object> facts, String address, boolean addressing) {
    var factory = new JaxWsProxyFactoryBean();
    factory.setAddress(address);
    factory.setServiceClass(contract);
    if (addressing) factory.getFeatures().add(new WSAddressingFeature());
    T port = (T) factory.create();
    var user = (Map<String, Object>) ((Map<String, Object>) facts.get("grunndata")).get("basic_auth");
    var conduit = (HTTPConduit) ClientProxy.getClient(port).getConduit();
    var policy = new AuthorizationPolicy();
    policy.setUserName((String) user.get("username"));
    policy.setPassword((String) user.get("password"));
    conduit.setAuthorization(policy);
    conduit.getClient().setAllowChunking(true);
    conduit.getClient().setChunkingThreshold(1);
    return port;
  }
}
