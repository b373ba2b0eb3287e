import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.InvalidDestinationException;
import javax.jms.JMSException;
import javax.jms.JMSSecurityException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.qpid.jms.JmsConnectionFactory;
import org.apache.qpid.jms.message.JmsMessage;
import org.apache.qpid.jms.provider.amqp.message.AmqpJmsMessageFacade;
import org.apache.qpid.proton.amqp.Symbol;

/** Qpid JMS on the message bus: the vendor's own queue, to itself. */
class Bus {
  static final String QUEUE = "8900900_async";
  static final String SEALED = "application/pkcs7-mime; smime-type=signed-and-enveloped-data";
  static final long PATIENCE_MS = 60_000;

  static Map<String, Object> amqp;
  static String user, password;

  interface Work { void run(Session session) throws Exception; }

  static String plain() { return "amqp://" + amqp.get("host") + ":" + number("port"); }

  static long number(String name) { return ((Number) amqp.get(name)).longValue(); }

  static void in(String url, int mode, Work work) throws Exception {
    var factory = new JmsConnectionFactory(user, password, url);
    Connection connection = factory.createConnection();
    try {
      connection.start();
      work.run(connection.createSession(false, mode));
    } finally {
      connection.close();
    }
  }

  static BytesMessage message(Session session, byte[] body) throws Exception {
    BytesMessage message = session.createBytesMessage();
    message.writeBytes(body);
    message.setJMSType("DIALOG_NOTAT");
    message.setJMSReplyTo(session.createQueue(QUEUE));
    message.setStringProperty("fromHerId", "8900901");
    message.setStringProperty("toHerId", "8900901");
    message.setStringProperty("applicationTimeStamp", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
    message.setStringProperty("mark", UUID.randomUUID().toString());
    message.reset();
    // JMS has no word for it: the client's own way to the AMQP property.
    var facade = (AmqpJmsMessageFacade) ((JmsMessage) message).getFacade();
    facade.setContentType(Symbol.valueOf(SEALED));
    return message;
  }

  static byte[] bytes(int count) {
    byte[] out = new byte[count];
    new Random(count).nextBytes(out);
    return out;
  }

  /** The message with this mark; others are taken on the way. */
  static BytesMessage awaited(MessageConsumer consumer, Message sent) throws Exception {
    long end = System.currentTimeMillis() + PATIENCE_MS;
    while (System.currentTimeMillis() < end) {
      Message got = consumer.receive(1_000);
      if (got != null && sent.getStringProperty("mark").equals(got.getStringProperty("mark"))) return (BytesMessage) got;
    }
    throw new IllegalStateException("nothing came");
  }

  static void same(byte[] expected, BytesMessage got) throws Exception {
    byte[] body = new byte[(int) got.getBodyLength()];
    got.readBytes(body);
    if (!Arrays.equals(expected, body)) throw new IllegalStateException("other bytes");
    if (!"8900901".equals(got.getStringProperty("fromHerId")) || !"DIALOG_NOTAT".equals(got.getJMSType())) {
      throw new IllegalStateException("other envelope: " + got);
    }
  }

  static void throughAndBack(String url, int size) throws Exception {
    in(url, Session.AUTO_ACKNOWLEDGE, session -> {
      byte[] body = bytes(size);
      BytesMessage message = message(session, body);
      try (MessageProducer producer = session.createProducer(session.createQueue("/exchange/NHNTestServiceBus/" + QUEUE))) {
        producer.send(message);
      }
      try (MessageConsumer consumer = session.createConsumer(session.createQueue(QUEUE))) {
        same(body, awaited(consumer, message));
      }
    });
  }

  static void many() throws Exception {
    in(plain(), Session.CLIENT_ACKNOWLEDGE, session -> {
      MessageConsumer consumer = session.createConsumer(session.createQueue(QUEUE));
      MessageProducer producer = session.createProducer(session.createQueue(QUEUE));
      Message last = null;
      for (int n = 0; n < 500; n++) producer.send(last = message(session, bytes(500)));
      awaited(consumer, last).acknowledge();
    });
  }

  static void recovered() throws Exception {
    in(plain(), Session.CLIENT_ACKNOWLEDGE, session -> {
      MessageConsumer consumer = session.createConsumer(session.createQueue(QUEUE));
      BytesMessage message = message(session, bytes(100));
      session.createProducer(session.createQueue(QUEUE)).send(message);
      Message first = awaited(consumer, message);
      if (first.getJMSRedelivered()) throw new IllegalStateException("said to be redelivered at first");
      session.recover();
      Message second = awaited(consumer, message);
      if (!second.getJMSRedelivered()) throw new IllegalStateException("not said to be redelivered");
      second.acknowledge();
    });
    // A consumer that goes without a word gives back what it held.
    var held = new BytesMessage[1];
    in(plain(), Session.CLIENT_ACKNOWLEDGE, session -> {
      held[0] = message(session, bytes(100));
      session.createProducer(session.createQueue(QUEUE)).send(held[0]);
      awaited(session.createConsumer(session.createQueue(QUEUE)), held[0]);
    });
    in(plain(), Session.AUTO_ACKNOWLEDGE, session -> awaited(session.createConsumer(session.createQueue(QUEUE)), held[0]));
  }

  /** As JMS makes it, without the profile's content type: taken, and answered on the error queue. */
  static void unprepared() throws Exception {
    in(plain(), Session.AUTO_ACKNOWLEDGE, session -> {
      BytesMessage message = message(session, bytes(100));
      ((AmqpJmsMessageFacade) ((JmsMessage) message).getFacade()).setContentType(Symbol.valueOf("application/octet-stream"));
      session.createProducer(session.createQueue(QUEUE)).send(message);
      MessageConsumer errors = session.createConsumer(session.createQueue("8900900_error"));
      long end = System.currentTimeMillis() + PATIENCE_MS;
      while (System.currentTimeMillis() < end) {
        Message got = errors.receive(1_000);
        if (got == null || !message.getJMSMessageID().endsWith(got.getStringProperty("originalMessageId"))) continue;
        if (!"transport:invalid-field-value".equals(got.getStringProperty("errorCondition"))) {
          throw new IllegalStateException(got.getStringProperty("errorCondition"));
        }
        return;
      }
      throw new IllegalStateException("no error message");
    });
  }

  static void refused(Class<? extends Exception> kind, Work work) throws Exception {
    in(plain(), Session.AUTO_ACKNOWLEDGE, session -> {
      try {
        work.run(session);
      } catch (Exception why) {
        if (!kind.isInstance(why)) throw why;
        // The connection has outlived it.
        session.createConsumer(session.createQueue("8900900_error")).close();
        return;
      }
      throw new IllegalStateException("not refused");
    });
  }

  static void all(Map<String, Object> facts) throws Exception {
    @SuppressWarnings("unchecked")
    var section = (Map<String, Object>) facts.get("amqp");
    amqp = section;
    @SuppressWarnings("unchecked")
    var users = (List<Map<String, Object>>) amqp.get("users");
    var mine = users.stream().filter(u -> ((Number) u.get("her_id")).longValue() == 8900900L).findFirst().orElseThrow();
    user = (String) mine.get("username");
    password = (String) mine.get("password");
    String trust = URLEncoder.encode(System.getProperty("javax.net.ssl.trustStore", ""), StandardCharsets.UTF_8);
    String tls = "amqps://localhost:" + number("tls_port") + "?transport.trustStoreLocation=" + trust
        + "&transport.trustStorePassword=" + System.getProperty("javax.net.ssl.trustStorePassword", "");
    Clients.run("JMS: in and out, plain", () -> throughAndBack(plain(), 10_240));
    Clients.run("JMS: in and out, TLS", () -> throughAndBack(tls, 10_240));
    Clients.run("JMS: a message of 20 MiB", () -> throughAndBack(plain(), 20 << 20));
    Clients.run("JMS: five hundred, acknowledged together", Bus::many);
    Clients.run("JMS: what is recovered or left comes again", Bus::recovered);
    Clients.run("JMS: a message without the profile's content type", Bus::unprepared);
    Clients.run("JMS: a queue that does not exist", () -> refused(InvalidDestinationException.class,
        session -> session.createProducer(session.createQueue("99999999_async"))));
    Clients.run("JMS: a queue of somebody else", () -> refused(JMSSecurityException.class,
        session -> session.createConsumer(session.createQueue("8900300_async"))));
    Clients.run("JMS: a temporary queue", () -> refused(JMSException.class, session -> session.createTemporaryQueue()));
    Clients.run("JMS: a transaction", () -> {
      Connection connection = new JmsConnectionFactory(user, password, plain()).createConnection();
      try {
        refused(JMSException.class, session -> connection.createSession(true, Session.SESSION_TRANSACTED)
            .createProducer(session.createQueue(QUEUE)).send(message(session, bytes(1))));
      } finally {
        connection.close();
      }
    });
    Clients.run("JMS: a browser", () -> refused(JMSException.class, session -> {
      var browser = session.createBrowser(session.createQueue(QUEUE)).getEnumeration();
      while (browser.hasMoreElements()) browser.nextElement();
    }));
    Clients.run("JMS: a wrong password", () -> {
      try {
        new JmsConnectionFactory(user, "wrong", plain()).createConnection().start();
      } catch (JMSSecurityException expected) {
        return;
      }
      throw new IllegalStateException("logged in");
    });
  }
}
