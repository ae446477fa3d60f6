// Asks Pulse a question and watches the agents.
//
//	buf generate && go run . "How many customers do we have?"
//
// PULSE_SERVER is the server (127.0.0.1:50051), PULSE_API_KEY the key, where it wants one. Exit code: 0 answered, 1 not
// answered, 4 the call itself failed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pulse "pulse.example/client/gen/pulse/v1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, `usage: go run . "QUESTION"`)
		os.Exit(2)
	}
	answered, err := ask(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	if !answered {
		os.Exit(1)
	}
}

func ask(question string) (bool, error) {
	server := os.Getenv("PULSE_SERVER")
	if server == "" {
		server = "127.0.0.1:50051"
	}
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false, err
	}
	defer connection.Close()
	ctx := context.Background()
	if key := os.Getenv("PULSE_API_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}

	saved, err := pulse.NewConnectionServiceClient(connection).ListConnections(ctx, &pulse.ListConnectionsRequest{Name: "demo"})
	if err != nil {
		return false, err
	}
	if len(saved.Connections) == 0 {
		return false, fmt.Errorf("no connection is named demo; start the server with `pulse serve --demo`")
	}
	stream, err := pulse.NewWorkflowServiceClient(connection).RunWorkflow(ctx, &pulse.RunWorkflowRequest{
		Question: question,
		Source:   &pulse.RunWorkflowRequest_ConnectionId{ConnectionId: saved.Connections[0].Id},
	})
	if err != nil {
		return false, err
	}
	answered := false
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return answered, nil
		}
		if err != nil {
			return false, err
		}
		switch event := response.Event.Event.(type) {
		case *pulse.WorkflowEvent_StepCompleted:
			fmt.Printf("%-12s %s\n", event.StepCompleted.Step.Name, event.StepCompleted.Step.Summary)
		case *pulse.WorkflowEvent_Result:
			fmt.Println(strings.TrimSpace(event.Result.Sql))
			fmt.Println(event.Result.AnswerText)
		case *pulse.WorkflowEvent_Failed:
			fmt.Println("failed:", event.Failed.Failure.Message)
		case *pulse.WorkflowEvent_Completed:
			answered = true
		}
	}
}
