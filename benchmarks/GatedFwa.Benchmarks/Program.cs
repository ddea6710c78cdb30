using BenchmarkDotNet.Running;
using GatedFwa.Benchmarks;

// dotnet run -c Release --project benchmarks/GatedFwa.Benchmarks -- --filter '*'
BenchmarkSwitcher.FromAssembly(typeof(AttentionBenchmarks).Assembly).Run(args);
