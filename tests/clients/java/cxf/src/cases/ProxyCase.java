import jakarta.xml.ws.soap.SOAPBinding;
import java.util.Map;
import org.apache.cxf.jaxws.JaxWsProxyFactoryBean;
import org.apache.cxf.ws.addressing.WSAddressingFeature;

/** A proxy of a contract alone, as the demo's system user: SOAP 1.1, or 1.2 with WS-Addressing, or as it is said. */
class ProxyCase extends Case {
  static <T> T proxy(Class<T> contract, Map<String, Object> facts, String address, boolean addressing) {
    return proxy(contract, facts, addressing ? address : address + "/Basic", addressing, addressing);
  }

  @SuppressWarnings("unchecked")
  static <T> T proxy(Class<T> contract, Map<String, Object> facts, String address, boolean is12, boolean addressing) {
    var user = (Map<String, Object>) ((Map<String, Object>) facts.get("grunndata")).get("basic_auth");
    var factory = new JaxWsProxyFactoryBean();
    factory.setAddress(address);
    factory.setUsername((String) user.get("username"));
    factory.setPassword((String) user.get("password"));
    if (addressing) factory.getFeatures().add(new WSAddressingFeature());
    if (is12) factory.setBindingId(SOAPBinding.SOAP12HTTP_BINDING);
    return factory.create(contract);
  }
}
