// A Dapr sidecar with just the components the tests need: the real runtime, a small part of the components.
//
// It wires what Dapr's own cmd/daprd/app wires; that package cannot be used as it registers its components by build tag,
// and the smallest of those sets takes minutes longer to build.
package main

import (
	"context"
	"fmt"
	"os"

	"go.opencensus.io/stats/view"

	pubsubinmemory "github.com/dapr/components-contrib/pubsub/in-memory"
	pubsubjetstream "github.com/dapr/components-contrib/pubsub/jetstream"
	pubsubredis "github.com/dapr/components-contrib/pubsub/redis"
	secretsenv "github.com/dapr/components-contrib/secretstores/local/env"
	secretsfile "github.com/dapr/components-contrib/secretstores/local/file"
	"github.com/dapr/components-contrib/state/etcd"
	stateinmemory "github.com/dapr/components-contrib/state/in-memory"
	"github.com/dapr/components-contrib/state/memcached"
	postgresv1 "github.com/dapr/components-contrib/state/postgresql/v1"
	postgresv2 "github.com/dapr/components-contrib/state/postgresql/v2"
	stateredis "github.com/dapr/components-contrib/state/redis"
	statesqlite "github.com/dapr/components-contrib/state/sqlite"

	"github.com/dapr/components-contrib/nameresolution/mdns"
	namesqlite "github.com/dapr/components-contrib/nameresolution/sqlite"

	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/buildinfo"
	"github.com/dapr/dapr/pkg/components"
	"github.com/dapr/dapr/pkg/components/bindings"
	"github.com/dapr/dapr/pkg/components/configuration"
	"github.com/dapr/dapr/pkg/components/conversation"
	"github.com/dapr/dapr/pkg/components/crypto"
	"github.com/dapr/dapr/pkg/components/lock"
	"github.com/dapr/dapr/pkg/components/middleware/http"
	"github.com/dapr/dapr/pkg/components/nameresolution"
	"github.com/dapr/dapr/pkg/components/pubsub"
	"github.com/dapr/dapr/pkg/components/secretstores"
	"github.com/dapr/dapr/pkg/components/state"
	"github.com/dapr/dapr/pkg/healthz"
	"github.com/dapr/dapr/pkg/metrics"
	"github.com/dapr/dapr/pkg/modes"
	"github.com/dapr/dapr/pkg/runtime"
	"github.com/dapr/dapr/pkg/runtime/registry"
	"github.com/dapr/dapr/pkg/security"
	"github.com/dapr/kit/concurrency"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/signals"
)

var (
	log        = logger.NewLogger("dapr.runtime")
	logContrib = logger.NewLogger("dapr.contrib")
)

// The stores the manager is tested on, one it takes only when told to (YugabyteDB: the PostgreSQL v2 code), and two that
// it must refuse (etcd, memcached).
func register() {
	state.DefaultRegistry.Logger = logContrib
	state.DefaultRegistry.RegisterComponent(stateinmemory.NewInMemoryStateStore, "in-memory")
	state.DefaultRegistry.RegisterComponent(statesqlite.NewSQLiteStateStore, "sqlite", "sqlite3")
	state.DefaultRegistry.RegisterComponent(stateredis.NewRedisStateStore, "redis")
	state.DefaultRegistry.RegisterComponent(memcached.NewMemCacheStateStore, "memcached")
	versions := components.Versioning{
		Preferred: components.VersionConstructor{Version: "v2", Constructor: postgresv2.NewPostgreSQLStateStore},
		Others:    []components.VersionConstructor{{Version: "v1", Constructor: postgresv1.NewPostgreSQLStateStore}},
		Default:   "v1",
	}
	for _, name := range []string{"postgresql", "postgres"} {
		state.DefaultRegistry.RegisterComponentWithVersions(name, versions)
	}
	state.DefaultRegistry.RegisterComponentWithVersions("yugabytedb", components.Versioning{
		Preferred: components.VersionConstructor{Version: "v2", Constructor: postgresv2.NewPostgreSQLStateStore},
		Default:   "v2",
	})
	state.DefaultRegistry.RegisterComponentWithVersions("etcd", components.Versioning{
		Preferred:  components.VersionConstructor{Version: "v2", Constructor: etcd.NewEtcdStateStoreV2},
		Deprecated: []components.VersionConstructor{{Version: "v1", Constructor: etcd.NewEtcdStateStoreV1}},
		Default:    "v1",
	})

	pubsub.DefaultRegistry.Logger = logContrib
	pubsub.DefaultRegistry.RegisterComponent(pubsubinmemory.New, "in-memory")
	pubsub.DefaultRegistry.RegisterComponent(pubsubredis.NewRedisStreams, "redis")
	pubsub.DefaultRegistry.RegisterComponent(pubsubjetstream.NewJetStream, "jetstream")

	secretstores.DefaultRegistry.Logger = logContrib
	secretstores.DefaultRegistry.RegisterComponent(secretsfile.NewLocalSecretStore, "local.file")
	secretstores.DefaultRegistry.RegisterComponent(secretsenv.NewEnvSecretStore, "local.env")

	nameresolution.DefaultRegistry.Logger = logContrib
	nameresolution.DefaultRegistry.RegisterComponent(mdns.NewResolver, "mdns")
	nameresolution.DefaultRegistry.RegisterComponent(namesqlite.NewResolver, "sqlite")

	// Nothing is registered here, but a component of an unknown type is told to these loggers.
	bindings.DefaultRegistry.Logger = logContrib
	configuration.DefaultRegistry.Logger = logContrib
	conversation.DefaultRegistry.Logger = logContrib
	crypto.DefaultRegistry.Logger = logContrib
	lock.DefaultRegistry.Logger = logContrib
	http.DefaultRegistry.Logger = log
}

func main() {
	opts, err := options.New(os.Args[1:])
	if err != nil {
		log.Fatalf("Failed to parse flags: %v", err)
	}
	if opts.RuntimeVersion {
		fmt.Println(buildinfo.Version())
		return
	}
	if opts.WaitCommand {
		runtime.WaitUntilDaprOutboundReady(opts.DaprHTTPPort)
		return
	}
	opts.Logger.SetAppID(opts.AppID)
	if err := logger.ApplyOptionsToLoggers(&opts.Logger); err != nil {
		log.Fatal(err)
	}
	log.Infof("Starting Dapr Runtime -- version %s -- with the components of the tests", buildinfo.Version())
	register()

	// A reload (SIGHUP, a changed Configuration) ends the runtime's context, and it is run again; SIGTERM ends them all.
	ctx := signals.Context()
	for reloaded := range signals.OnHUP(ctx) {
		if err := run(reloaded, opts); err != nil {
			log.Fatalf("Fatal error from runtime: %s", err)
		}
		if reloaded.Err() == nil || ctx.Err() != nil {
			break
		}
	}
	log.Info("Daprd shutdown gracefully")
}

func run(ctx context.Context, opts *options.Options) error {
	health := healthz.New()
	provider, err := security.New(ctx, security.Options{
		SentryAddress:           opts.SentryAddress,
		ControlPlaneTrustDomain: opts.ControlPlaneTrustDomain,
		ControlPlaneNamespace:   opts.ControlPlaneNamespace,
		TrustAnchors:            opts.TrustAnchors,
		AppID:                   opts.AppID,
		MTLSEnabled:             opts.EnableMTLS,
		Mode:                    modes.DaprMode(opts.Mode),
		Healthz:                 health,
		JwtAudiences:            opts.SentryRequestJwtAudiences,
	})
	if err != nil {
		return err
	}
	return concurrency.NewRunnerManager(
		provider.Run,
		func(ctx context.Context) error {
			handler, err := provider.Handler(ctx)
			if err != nil {
				return err
			}
			sidecar, err := runtime.FromConfig(ctx, config(opts, handler, health))
			if err != nil {
				return err
			}
			return sidecar.Run(ctx)
		},
	).Run(ctx)
}

func config(opts *options.Options, handler security.Handler, health healthz.Healthz) *runtime.Config {
	return &runtime.Config{
		AppID:                         opts.AppID,
		ActorsService:                 opts.ActorsService,
		ActorsDisseminationTimeout:    opts.ActorsDisseminationTimeout,
		HotReloadReconcileInterval:    opts.HotReloadReconcileInterval,
		RemindersService:              opts.RemindersService,
		SchedulerAddress:              opts.SchedulerAddress,
		SchedulerStreams:              opts.SchedulerJobStreams,
		AllowedOrigins:                opts.AllowedOrigins,
		ResourcesPath:                 opts.ResourcesPath,
		ControlPlaneAddress:           opts.ControlPlaneAddress,
		AppProtocol:                   opts.AppProtocol,
		Mode:                          opts.Mode,
		DaprHTTPPort:                  opts.DaprHTTPPort,
		DaprInternalGRPCPort:          opts.DaprInternalGRPCPort,
		DaprInternalGRPCListenAddress: opts.DaprInternalGRPCListenAddress,
		DaprAPIGRPCPort:               opts.DaprAPIGRPCPort,
		DaprAPIListenAddresses:        opts.DaprAPIListenAddresses,
		DaprPublicPort:                opts.DaprPublicPort,
		DaprPublicListenAddress:       opts.DaprPublicListenAddress,
		ApplicationPort:               opts.AppPort,
		ProfilePort:                   opts.ProfilePort,
		EnableProfiling:               opts.EnableProfiling,
		AppMaxConcurrency:             opts.AppMaxConcurrency,
		EnableMTLS:                    opts.EnableMTLS,
		SentryAddress:                 opts.SentryAddress,
		MaxRequestSize:                opts.MaxRequestSize,
		ReadBufferSize:                opts.ReadBufferSize,
		UnixDomainSocket:              opts.UnixDomainSocket,
		DaprGracefulShutdownSeconds:   opts.DaprGracefulShutdownSeconds,
		DaprBlockShutdownDuration:     opts.DaprBlockShutdownDuration,
		DisableBuiltinK8sSecretStore:  opts.DisableBuiltinK8sSecretStore,
		EnableAppHealthCheck:          opts.EnableAppHealthCheck,
		AppHealthCheckPath:            opts.AppHealthCheckPath,
		AppHealthProbeInterval:        opts.AppHealthProbeInterval,
		AppHealthProbeTimeout:         opts.AppHealthProbeTimeout,
		AppHealthThreshold:            opts.AppHealthThreshold,
		AppChannelAddress:             opts.AppChannelAddress,
		EnableAPILogging:              opts.EnableAPILogging,
		Config:                        opts.Config,
		DisableInitEndpoints:          opts.DisableInitEndpoints,
		Metrics: metrics.Options{
			Enabled:       opts.Metrics.Enabled(),
			Log:           log,
			Port:          opts.Metrics.Port(),
			Namespace:     metrics.DefaultMetricNamespace,
			Healthz:       health,
			ListenAddress: opts.Metrics.ListenAddress(),
			Meter:         view.NewMeter(),
		},
		AppSSL:         opts.AppSSL,
		ComponentsPath: opts.ComponentsPath,
		Registry: registry.NewOptions().
			WithSecretStores(secretstores.DefaultRegistry).
			WithStateStores(state.DefaultRegistry).
			WithConfigurations(configuration.DefaultRegistry).
			WithLocks(lock.DefaultRegistry).
			WithPubSubs(pubsub.DefaultRegistry).
			WithNameResolutions(nameresolution.DefaultRegistry).
			WithBindings(bindings.DefaultRegistry).
			WithCryptoProviders(crypto.DefaultRegistry).
			WithHTTPMiddlewares(http.DefaultRegistry).
			WithConversations(conversation.DefaultRegistry),
		Security: handler,
		Healthz:  health,
	}
}
