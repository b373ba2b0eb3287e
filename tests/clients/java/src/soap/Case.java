import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.Service;
import jakarta.xml.ws.soap.AddressingFeature;
import java.util.GregorianCalendar;
import java.util.List;
import java.util.Map;
import javax.xml.datatype.DatatypeFactory;
import javax.xml.datatype.XMLGregorianCalendar;
import javax.xml.namespace.QName;

/** What the cases of all registers share. */
class Case {
  /** A port of a generated client at the hub, as the demo's system user: SOAP 1.1, or 1.2 with WS-Addressing. */
  @SuppressWarnings("unchecked")
  static <T> T port(Service service, Class<T> contract, Map<String, Object> facts, String address, boolean addressing) {
    QName name = null;
    for (var ports = service.getPorts(); ports.hasNext();) {
      QName next = ports.next();
      if (next.getLocalPart().contains("Basic") != addressing) name = next;
    }
    holds(name != null, "the description has a port for it");
    T port = addressing ? service.getPort(name, contract, new AddressingFeature(true, true)) : service.getPort(name, contract);
    var user = (Map<String, Object>) ((Map<String, Object>) facts.get("grunndata")).get("basic_auth");
    var context = ((BindingProvider) port).getRequestContext();
    context.put(BindingProvider.ENDPOINT_ADDRESS_PROPERTY, address);
    context.put(BindingProvider.USERNAME_PROPERTY, user.get("username"));
    context.put(BindingProvider.PASSWORD_PROPERTY, user.get("password"));
    return port;
  }

  @SuppressWarnings("unchecked")
  static List<Map<String, Object>> rows(Map<String, Object> facts, String name) {
    return (List<Map<String, Object>>) facts.get(name);
  }

  static XMLGregorianCalendar now() throws Exception {
    return DatatypeFactory.newInstance().newXMLGregorianCalendar(new GregorianCalendar());
  }

  static void same(Object expected, Object seen) {
    if (!java.util.Objects.equals(expected, seen)) throw new AssertionError("expected " + expected + ", saw " + seen);
  }

  static void holds(boolean condition, String what) {
    if (!condition) throw new AssertionError(what);
  }

  interface Call { void run() throws Exception; }

  /** The exception of a call that must be refused. */
  static Exception refused(Call call) {
    try {
      call.run();
    } catch (Exception fault) {
      return fault;
    }
    throw new AssertionError("the call was answered");
  }
}
