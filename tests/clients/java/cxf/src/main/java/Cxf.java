import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.xml.ws.Service;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.tools.ToolProvider;
import org.apache.cxf.tools.common.ToolContext;
import org.apache.cxf.tools.wsdlto.WSDLToJava;

/**
 * Apache CXF against every SOAP service: `wsdl2java` makes a client of each description that the hub serves, the cases are
 * compiled against what it made and called. The cases of the reference implementation (`../src/soap`) are run through
 * CXF as well. Each case prints one line. Arguments: facts.json, the folder of the cases, the folder of the others.
 */
public class Cxf {
  static final Logger LOG = Logger.getLogger("org.apache.cxf");
  static int passed, failed;

  /** A description, the class of its cases, and whether they are called with a service of the generated class. */
  record Described(String name, String path, String cases, boolean shared) {}

  public static void main(String[] arguments) throws Exception {
    @SuppressWarnings("unchecked")
    Map<String, Object> facts = new ObjectMapper().readValue(Path.of(arguments[0]).toFile(), Map.class);
    // What it says of each refusal, and of answers of SOAP 1.1 that hold no WS-Addressing.
    LOG.setLevel(Level.OFF);
    Path own = Path.of(arguments[1]), shared = Path.of(arguments[2]);
    String base = (String) facts.get("base");
    Path work = Files.createTempDirectory("cxf");
    var all = List.of(
        new Described("ar", "/v1/AR", "ArCases", true),
        new Described("flr", "/v2/flr", "FlrCases", true),
        new Described("hpr", "/v2/HPR", "HprCases", true),
        new Described("ar as municipalities call it", "/v1/AR", "MunicipalCases", false),
        new Described("hpr as the labour administration calls it", "/v2/HPR", "LabourHprCases", false),
        new Described("flr as the labour administration calls it", "/v2/flr", "LabourFlrCases", false),
        new Described("lsr", "/v1/LSR", "LsrCases", false),
        new Described("cppa", "/v1/CPPA", "CppaCases", false),
        new Described("event queues", "/v2/servicebusmanager", "QueueCases", false),
        new Described("flr export", "/v2/flrexport", "FlrExportCases", false),
        new Described("ar export", "/v1/ARExport", "ArExportCases", false));
    for (Described one : all) run(one, facts, base, one.shared() ? shared : own, shared, work);
    System.out.println(passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }

  static void run(Described one, Map<String, Object> facts, String base, Path cases, Path shared, Path work) throws Exception {
    Path out = work.resolve(one.path().replace('/', '-').substring(1));
    if (Files.notExists(out) && !generate(one.path(), base, Files.createDirectories(out))) return;
    List<String> command = new ArrayList<>(List.of("-nowarn", "-proc:none", "-encoding", "UTF-8", "-d", out.toString(),
        "-cp", System.getProperty("java.class.path"), "-sourcepath", cases + File.pathSeparator + shared,
        cases.resolve(one.cases() + ".java").toString()));
    String client = null;
    try (var files = Files.walk(out)) {
      for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
        command.add(file.toString());
        if (Files.readString(file).contains("@WebServiceClient")) {
          client = out.relativize(file).toString().replace(".java", "").replace('/', '.');
        }
      }
    }
    var errors = new ByteArrayOutputStream();
    int code = ToolProvider.getSystemJavaCompiler().run(null, errors, errors, command.toArray(String[]::new));
    if (!report("javac: " + one.name(), code == 0 ? null : errors.toString(StandardCharsets.UTF_8))) return;
    try (var loader = new URLClassLoader(new URL[] {out.toUri().toURL()}, Cxf.class.getClassLoader())) {
      Thread.currentThread().setContextClassLoader(loader);
      for (boolean addressing : new boolean[] {false, true}) {
        String why = null;
        try {
          var type = loader.loadClass(one.cases());
          if (one.shared()) {
            var service = loader.loadClass(client).getConstructor(URL.class).newInstance(new URL(base + one.path() + "?singleWsdl"));
            String address = base + one.path() + (addressing ? "" : "/Basic");
            type.getMethod("run", Service.class, Map.class, String.class, boolean.class).invoke(null, service, facts, address, addressing);
          } else {
            type.getMethod("run", Map.class, String.class, boolean.class).invoke(null, facts, base, addressing);
          }
        } catch (Throwable broken) {
          Throwable cause = broken.getCause() == null ? broken : broken.getCause();
          why = cause + " at " + (cause.getStackTrace().length > 0 ? cause.getStackTrace()[0] : "?");
          for (Throwable deeper = cause.getCause(); deeper != null; deeper = deeper.getCause()) why += "; " + deeper;
        }
        report(one.name() + (addressing ? " with WS-Addressing" : " without WS-Addressing"), why);
      }
    }
  }

  static boolean generate(String path, String base, Path out) {
    String why = null;
    try {
      new WSDLToJava(new String[] {"-autoNameResolution", "-encoding", "UTF-8", "-d", out.toString(), base + path + "?wsdl"})
          .run(new ToolContext());
    } catch (Throwable broken) {
      why = String.valueOf(broken);
    }
    return report("wsdl2java: " + path, why);
  }

  /** Prints a case; whether it passed. */
  static boolean report(String name, String why) {
    if (why == null) passed++; else failed++;
    System.out.println((why == null ? "ok - " : "not ok - ") + "CXF " + name + (why == null ? "" : ": " + why));
    return why == null;
  }
}
