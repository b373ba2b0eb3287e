import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.jms.BytesMessage;
import javax.jms.Session;
import javax.net.ssl.SSLContext;

/** RabbitMQ's Java client (AMQP 0.9.1) receives what Qpid JMS (AMQP 1.0) has sent. */
class Older {
  interface Work { void run(Channel channel) throws Exception; }

  static Connection connect(boolean tls) throws Exception {
    var factory = new ConnectionFactory();
    factory.setHost(tls ? "localhost" : (String) Bus.amqp.get("host"));
    factory.setPort((int) Bus.number(tls ? "tls_port" : "port"));
    factory.setUsername(Bus.user);
    factory.setPassword(Bus.password);
    factory.setVirtualHost("NHNTestServiceBus");
    factory.setRequestedHeartbeat(10);
    if (tls) {
      factory.useSslProtocol(SSLContext.getDefault());
      factory.enableHostnameVerification();
    }
    return factory.newConnection();
  }

  static void in(boolean tls, Work work) throws Exception {
    Connection connection = connect(tls);
    try {
      work.run(connection.createChannel());
    } finally {
      if (connection.isOpen()) connection.close();
    }
  }

  /** Sends with JMS; the mark of what was sent. */
  static String send(byte[] body) throws Exception {
    var mark = new String[1];
    Bus.in(Bus.plain(), Session.AUTO_ACKNOWLEDGE, session -> {
      BytesMessage message = Bus.message(session, body);
      session.createProducer(session.createQueue(Bus.QUEUE)).send(message);
      mark[0] = message.getStringProperty("mark");
    });
    return mark[0];
  }

  static BlockingQueue<Delivery> consume(Channel channel) throws Exception {
    var arrived = new LinkedBlockingQueue<Delivery>();
    channel.basicConsume(Bus.QUEUE, false, new DefaultConsumer(channel) {
      @Override
      public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
        arrived.add(new Delivery(envelope, properties, body));
      }
    });
    return arrived;
  }

  /** The message with this mark; others are acknowledged on the way. */
  static Delivery awaited(Channel channel, BlockingQueue<Delivery> arrived, String mark) throws Exception {
    while (true) {
      Delivery got = arrived.poll(Bus.PATIENCE_MS, TimeUnit.MILLISECONDS);
      if (got == null) throw new IllegalStateException("nothing came");
      String text = got.getProperties().getHeaders().get("x-amqp-1.0-app-properties").toString();
      if (text.contains(mark)) return got;
      channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
    }
  }

  static void taken(boolean tls, int size) throws Exception {
    byte[] body = Bus.bytes(size);
    String mark = send(body);
    in(tls, channel -> {
      channel.basicQos(10);
      Delivery got = awaited(channel, consume(channel), mark);
      if (!Arrays.equals(body, got.getBody())) throw new IllegalStateException("other bytes");
      if (!Bus.SEALED.equals(got.getProperties().getContentType())) throw new IllegalStateException(got.getProperties().getContentType());
      channel.basicAck(got.getEnvelope().getDeliveryTag(), false);
    });
  }

  static void many() throws Exception {
    in(false, channel -> {
      var arrived = consume(channel);
      String[] last = new String[1];
      Bus.in(Bus.plain(), Session.AUTO_ACKNOWLEDGE, session -> {
        var producer = session.createProducer(session.createQueue(Bus.QUEUE));
        for (int n = 0; n < 500; n++) {
          BytesMessage message = Bus.message(session, Bus.bytes(500));
          producer.send(message);
          last[0] = message.getStringProperty("mark");
        }
      });
      Delivery got;
      do {
        got = arrived.poll(Bus.PATIENCE_MS, TimeUnit.MILLISECONDS);
        if (got == null) throw new IllegalStateException("nothing came");
      } while (!got.getProperties().getHeaders().get("x-amqp-1.0-app-properties").toString().contains(last[0]));
      channel.basicAck(got.getEnvelope().getDeliveryTag(), true);
    });
    in(false, channel -> {
      GetResponse left = channel.basicGet(Bus.QUEUE, true);
      if (left != null) throw new IllegalStateException("acknowledged, and there again");
    });
  }

  static void back() throws Exception {
    String mark = send(Bus.bytes(100));
    in(false, channel -> {
      channel.basicQos(1);
      var arrived = consume(channel);
      Delivery first = awaited(channel, arrived, mark);
      if (first.getEnvelope().isRedeliver()) throw new IllegalStateException("said to be redelivered at first");
      channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
      Delivery second = awaited(channel, arrived, mark);
      if (!second.getEnvelope().isRedeliver()) throw new IllegalStateException("not said to be redelivered");
      // Not acknowledged.
      channel.getConnection().abort();
    });
    in(false, channel -> {
      Delivery third = awaited(channel, consume(channel), mark);
      channel.basicAck(third.getEnvelope().getDeliveryTag(), false);
    });
  }

  static void refused(int code, Work work) throws Exception {
    in(false, channel -> {
      try {
        work.run(channel);
      } catch (IOException why) {
        var signal = (ShutdownSignalException) why.getCause();
        var close = (AMQP.Channel.Close) signal.getReason();
        if (close.getReplyCode() != code) throw why;
        // The connection has outlived it.
        channel.getConnection().createChannel().queueDeclarePassive(Bus.QUEUE);
        return;
      }
      throw new IllegalStateException("not refused");
    });
  }

  static void publishing() throws Exception {
    in(false, channel -> {
      var closed = new LinkedBlockingQueue<ShutdownSignalException>();
      channel.addShutdownListener(closed::add);
      channel.basicPublish("", Bus.QUEUE, null, Bus.bytes(100));
      var why = closed.poll(Bus.PATIENCE_MS, TimeUnit.MILLISECONDS);
      if (why == null || ((AMQP.Channel.Close) why.getReason()).getReplyCode() != 403) throw new IllegalStateException("" + why);
    });
  }

  static void all() {
    Clients.run("AMQP 0.9.1: what JMS sent, plain", () -> taken(false, 10_240));
    Clients.run("AMQP 0.9.1: what JMS sent, TLS", () -> taken(true, 10_240));
    Clients.run("AMQP 0.9.1: a message of 20 MiB", () -> taken(false, 20 << 20));
    Clients.run("AMQP 0.9.1: five hundred, acknowledged together", Older::many);
    Clients.run("AMQP 0.9.1: what is given back or left comes again", Older::back);
    Clients.run("AMQP 0.9.1: a queue that does not exist", () -> refused(404, channel -> channel.basicGet("99999999_async", false)));
    Clients.run("AMQP 0.9.1: a queue of somebody else", () -> refused(403, channel -> channel.basicGet("8900300_async", false)));
    Clients.run("AMQP 0.9.1: making a queue", () -> refused(403, channel -> channel.queueDeclare("mine", true, false, false, null)));
    Clients.run("AMQP 0.9.1: publishing", Older::publishing);
  }
}
