// A client as its user writes it on top of what oapi-codegen makes from the official document: it calls each operation,
// from making an agent to deleting it. The package discovery is generated and is not changed.
//
// It prints one line of JSON for each answer: the operation's id, the status, the body, and what the generated types
// hold of it. After the agent's token it waits for a line of its standard input, so that somebody can push as the agent.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"strings"

	"podsonar.invalid/tests/manager/api/go_client/discovery"
)

const agent = "generated"

var (
	account      = "acme"
	organization = "default"
	project      = "shop"
	environment  = "prod"

	tenant = discovery.GetAgentParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment}
	setting = discovery.GetSettingParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project}
	page = discovery.ListAgentParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
	ofNamespace = discovery.ListPodParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
	ofCluster = discovery.ListNodeParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
	ofMap = discovery.ListDiscoveredServiceForANetworkMapParams{AccountIdentifier: account,
		OrganizationIdentifier: &organization, ProjectIdentifier: &project, EnvironmentIdentifier: environment}
	services = discovery.ListDiscoveredServiceParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
	installations = discovery.ListInstallationParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
	infrastructures = discovery.ListInfrastructureParams{AccountIdentifier: account, OrganizationIdentifier: &organization,
		ProjectIdentifier: &project, EnvironmentIdentifier: environment, Limit: 10}
)

// response is what every generated answer has.
type response interface {
	StatusCode() int
	GetBody() []byte
}

// typed returns what the generated types hold of an answer: the field JSON200 or JSON201; nil if there is none.
func typed(answer response) any {
	fields := reflect.ValueOf(answer).Elem()
	for i := range fields.NumField() {
		if strings.HasPrefix(fields.Type().Field(i).Name, "JSON2") && !fields.Field(i).IsNil() {
			return fields.Field(i).Interface()
		}
	}
	return nil
}

// called prints what an operation answered and returns it; an error ends the program. Generated types are named after
// operations.
func called[R response](answer R, err error) R {
	name := strings.TrimSuffix(reflect.TypeOf(answer).Elem().Name(), "Response")
	operation := strings.ToLower(name[:1]) + name[1:]
	if err != nil {
		panic(operation + ": " + err.Error())
	}
	line := map[string]any{"operation": operation, "status": answer.StatusCode(),
		"body": json.RawMessage(answer.GetBody()), "typed": typed(answer)}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		panic(operation + ": " + err.Error())
	}
	return answer
}

// of returns a pointer to a value: generated types have pointers where the document requires nothing.
func of[T any](value T) *T { return &value }

func main() {
	url, header, value := os.Args[1], os.Args[2], os.Getenv("HEADER_VALUE")
	withKey := func(_ context.Context, request *http.Request) error {
		request.Header.Set(header, value)
		return nil
	}
	client, err := discovery.NewClientWithResponses(url, discovery.WithRequestEditorFn(withKey))
	if err != nil {
		panic(err)
	}
	useAgent(client, context.Background())
}
