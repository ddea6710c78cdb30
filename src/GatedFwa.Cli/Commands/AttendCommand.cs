using System.CommandLine;
using GatedFwa.Attention;
using GatedFwa.Tensors;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa attend</c>: the bare operator on anyone's tensors.</summary>
internal static class AttendCommand
{
    public static Command Create()
    {
        var input = new Argument<string>("in")
        {
            Description = $"A safetensors file with the inputs; its metadata 'kind' is {OperatorFile.Kinds}.",
        };
        var output = new Argument<string>("out")
        {
            Description = "The safetensors file to write: results, and gradients where the input holds do or dalpha.",
        };
        Option<int?> window = SharedOptions.Count("--window", "Keys a query sees.", "the file's window, or all");
        var scale = new Option<float?>("--scale")
        {
            Description = "The factor of q·k. [default: the file's scale, or 1/√D]",
            HelpName = "X",
        };
        Option<int?> blockSize =
            SharedOptions.Count("--block-size", "Native sparse attention: tokens of a block.", "the file's block_size, or 64");
        Option<int?> blockCount =
            SharedOptions.Count("--block-count", "Native sparse attention: blocks a query chooses.", "the file's block_count, or 16");
        Option<string?> type = SharedOptions.Types(new Option<string?>("--dtype")
        {
            Description = "What q, k, v, do and x are rounded to and computed in: f32, or on a GPU bf16 or f16; the output is f32. " +
                "[default: f32]",
            HelpName = "f32|bf16|f16",
        });
        Option<int?> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        var command = new Command(
            "attend",
            "Runs gated window attention, native sparse attention or the gate on the tensors of a safetensors file: " +
            "q, k, v, alpha, cu_seqlens, do → o, lse, dq, dk, dv, dalpha.")
        {
            input, output, window, scale, blockSize, blockCount, type, threads, device,
        };
        command.SetAction(result =>
        {
            SharedOptions.UseThreads(result.GetValue(threads));
            OperatorResult computed = OperatorFile.Run(result.GetValue(input)!, result.GetValue(output)!, new OperatorSettings
            {
                Window = result.GetValue(window),
                Scale = result.GetValue(scale),
                BlockSize = result.GetValue(blockSize),
                BlockCount = result.GetValue(blockCount),
                Device = SharedOptions.ParseDevice(result.GetValue(device)!),
                Type = SharedOptions.ParseType(result.GetValue(type)) ?? DType.F32,
            });
            Console.Error.WriteLine(
                $"Wrote {string.Join(", ", computed.Tensors.Select(tensor => $"{tensor.Name} {tensor.Shape}"))} to " +
                $"{result.GetValue(output)}.");
        });
        return command.WithExamples(
            ("Hold this implementation against yours:", "gatedfwa attend qkv.safetensors out.safetensors"),
            ("With another window:", "gatedfwa attend qkv.safetensors out.safetensors --window 256"),
            ("On a GPU, as in training:", "gatedfwa attend qkv.safetensors out.safetensors --device cuda --dtype bf16"));
    }
}
