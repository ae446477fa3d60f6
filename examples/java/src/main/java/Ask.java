import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import pulse.v1.ConnectionServiceGrpc;
import pulse.v1.ConnectionServiceOuterClass.ListConnectionsRequest;
import pulse.v1.WorkflowServiceGrpc;
import pulse.v1.WorkflowServiceOuterClass.RunWorkflowRequest;

/**
 * Asks Pulse a question and watches the agents.
 *
 * <pre>mvn --quiet compile exec:java -Dexec.args="'How many customers do we have?'"</pre>
 *
 * PULSE_SERVER is the server (127.0.0.1:50051), PULSE_API_KEY the key, where it wants one. Exit code: 0 answered, 1 not
 * answered, 4 the call itself failed.
 */
public final class Ask {
    public static void main(String[] arguments) {
        if (arguments.length != 1) {
            System.err.println("usage: Ask QUESTION");
            System.exit(2);
        }
        String server = System.getenv().getOrDefault("PULSE_SERVER", "127.0.0.1:50051");
        ManagedChannel channel = ManagedChannelBuilder.forTarget(server).usePlaintext().build();
        int code;
        try {
            code = ask(withKey(channel), arguments[0]) ? 0 : 1;
        } catch (StatusRuntimeException error) {
            System.err.println(error.getStatus().getCode() + ": " + error.getStatus().getDescription());
            code = 4;
        }
        channel.shutdownNow();
        System.exit(code);
    }

    private static Channel withKey(ManagedChannel channel) {
        String key = System.getenv("PULSE_API_KEY");
        if (key == null) {
            return channel;
        }
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
        return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    private static boolean ask(Channel channel, String question) {
        var saved = ConnectionServiceGrpc.newBlockingStub(channel)
            .listConnections(ListConnectionsRequest.newBuilder().setName("demo").build());
        if (saved.getConnectionsCount() == 0) {
            System.err.println("no connection is named demo; start the server with `pulse serve --demo`");
            return false;
        }
        var request = RunWorkflowRequest.newBuilder()
            .setQuestion(question)
            .setConnectionId(saved.getConnections(0).getId())
            .build();
        boolean answered = false;
        var responses = WorkflowServiceGrpc.newBlockingStub(channel).runWorkflow(request);
        while (responses.hasNext()) {
            var event = responses.next().getEvent();
            switch (event.getEventCase()) {
                case STEP_COMPLETED -> {
                    var step = event.getStepCompleted().getStep();
                    System.out.printf("%-12s %s%n", step.getName(), step.getSummary());
                }
                case RESULT -> {
                    System.out.println(event.getResult().getSql());
                    System.out.println(event.getResult().getAnswerText());
                }
                case FAILED -> System.out.println("failed: " + event.getFailed().getFailure().getMessage());
                case COMPLETED -> answered = true;
                default -> { }
            }
        }
        return answered;
    }
}
