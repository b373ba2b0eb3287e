import com.nimbusds.oauth2.sdk.util.JSONObjectUtils;
import com.sun.tools.ws.wscompile.WsimportTool;
import jakarta.xml.ws.Service;
import java.io.ByteArrayOutputStream;
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

/**
 * The JAX-WS reference implementation against HPR, FLR and the address register: `wsimport` makes a client of each
 * description, the hub's own and, where they lie beside the repository, the official ones; the cases of `src/soap` are
 * compiled against what it made. Each case prints one line. Arguments: facts.json, the folder of the cases.
 */
public class Soap {
  static int passed, failed;

  /** What a description is, and which class holds its cases. */
  record Described(String name, String wsdl, String cases, String address) {}

  public static void main(String[] arguments) throws Exception {
    Map<String, Object> facts = JSONObjectUtils.parse(Files.readString(Path.of(arguments[0])));
    Path cases = Path.of(arguments[1]);
    String base = (String) facts.get("base");
    // The official descriptions hold policies of .NET that the client says it does not know.
    Logger.getLogger("com.sun.xml.ws").setLevel(Level.OFF);
    Path work = Files.createTempDirectory("soap");
    List<Described> all = new ArrayList<>(List.of(
        new Described("hpr", base + "/v2/HPR?wsdl", "HprCases", base + "/v2/HPR"),
        new Described("flr", base + "/v2/flr?singleWsdl", "FlrCases", base + "/v2/flr"),
        new Described("ar", base + "/v1/AR?singleWsdl", "ArCases", base + "/v1/AR")));
    String shared = System.getenv("HELSENAV_SHARED");
    Path official = (shared == null ? cases.resolve("../../../../../../shared") : Path.of(shared))
        .resolve("data/grunndata/wsdl").normalize();
    if (Files.isDirectory(official)) {
      all.add(new Described("hpr official", file(official, "hpr-IHPR2Service.wsdl"), "HprCases", base + "/v2/HPR"));
      all.add(new Described("flr official", file(official, "flr-IFlrReadOperations.wsdl"), "FlrCases", base + "/v2/flr"));
      all.add(new Described("ar official", file(official, "ar-CommunicationPartyService-2025.wsdl"), "ArCases", base + "/v1/AR"));
    } else {
      System.out.println("SKIPPED official descriptions: the shared data folder is not beside the repository");
    }
    for (Described one : all) run(one, facts, cases, work.resolve(one.name().replace(' ', '-')));
    System.out.println(passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }

  static String file(Path folder, String name) { return folder.resolve(name).toUri().toString(); }

  static void run(Described one, Map<String, Object> facts, Path cases, Path out) throws Exception {
    Files.createDirectories(out);
    var said = new ByteArrayOutputStream();
    boolean made;
    try {
      made = new WsimportTool(said).run(new String[] {
          "-quiet", "-extension", "-Xnocompile", "-B-XautoNameResolution", "-s", out.toString(), "-d", out.toString(), one.wsdl()});
    } catch (Throwable broken) {
      made = false;
      said.writeBytes(String.valueOf(broken).getBytes(StandardCharsets.UTF_8));
    }
    if (!report("wsimport: " + one.name(), made ? null : said.toString(StandardCharsets.UTF_8))) return;
    List<String> arguments = new ArrayList<>(List.of("-nowarn", "-proc:none", "-encoding", "UTF-8", "-d", out.toString(),
        "-cp", System.getProperty("java.class.path"), cases.resolve(one.cases() + ".java").toString(),
        cases.resolve("Case.java").toString()));
    String client = null;
    try (var files = Files.walk(out)) {
      for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
        arguments.add(file.toString());
        if (Files.readString(file).contains("@WebServiceClient")) {
          client = out.relativize(file).toString().replace(".java", "").replace('/', '.');
        }
      }
    }
    var errors = new ByteArrayOutputStream();
    int code = ToolProvider.getSystemJavaCompiler().run(null, errors, errors, arguments.toArray(String[]::new));
    if (!report("javac: " + one.name(), code == 0 ? null : errors.toString(StandardCharsets.UTF_8))) return;
    try (var loader = new URLClassLoader(new URL[] {out.toUri().toURL()}, Soap.class.getClassLoader())) {
      Thread.currentThread().setContextClassLoader(loader);
      var service = loader.loadClass(client).getConstructor(URL.class).newInstance(new URL(one.wsdl()));
      for (boolean addressing : new boolean[] {false, true}) {
        String name = one.name() + (addressing ? " SOAP 1.2 with WS-Addressing" : " SOAP 1.1");
        String address = addressing ? one.address() : one.address() + "/Basic";
        String why = null;
        try {
          loader.loadClass(one.cases()).getMethod("run", Service.class, Map.class, String.class, boolean.class)
              .invoke(null, service, facts, address, addressing);
        } catch (Throwable broken) {
          Throwable cause = broken.getCause() == null ? broken : broken.getCause();
          why = cause + " at " + (cause.getStackTrace().length > 0 ? cause.getStackTrace()[0] : "?");
        }
        report(name, why);
      }
    }
  }

  /** Prints a case; whether it passed. */
  static boolean report(String name, String why) {
    if (why == null) passed++; else failed++;
    System.out.println((why == null ? "ok - " : "not ok - ") + "JAX-WS " + name + (why == null ? "" : ": " + why));
    return why == null;
  }
}
